import type { Readable } from 'node:stream';

/** A file of a multipart request, on its way: nothing of it is read before `open` is called. */
export class Upload {
  readonly #stream: Promise<{ readonly stream: Readable; readonly fileName: string }>;
  #wanted: () => void;
  /** The part's name in the form, known from `map`. */
  readonly part: string;

  constructor(part: string, stream: Promise<{ stream: Readable; fileName: string }>, wanted: () => void) {
    this.part = part;
    this.#stream = stream;
    this.#wanted = wanted;
    // A request may break off before anybody asks for the file.
    stream.catch(() => undefined);
  }

  /** The bytes and the name that the sender gave them. @throws when the request broke off or lacks the file. */
  open(): Promise<{ readonly stream: Readable; readonly fileName: string }> {
    this.#wanted();
    return this.#stream;
  }
}

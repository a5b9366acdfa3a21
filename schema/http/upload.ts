import type { Readable } from 'node:stream';

/** A file of a multipart request, on its way: nothing of it is read before its stream is. */
export class Upload {
  readonly #arrival: Promise<{ readonly stream: Readable; readonly fileName: string }>;

  constructor(arrival: Promise<{ stream: Readable; fileName: string }>) {
    this.#arrival = arrival;
    // A request may break off before anybody asks for the file.
    arrival.catch(() => undefined);
  }

  /** The bytes and the name that the sender gave them. @throws when the request broke off or lacks the file. */
  open(): Promise<{ readonly stream: Readable; readonly fileName: string }> {
    return this.#arrival;
  }
}

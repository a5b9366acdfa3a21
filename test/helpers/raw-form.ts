/** A multipart request written piece by piece, so that it can be slow, cut, or wrong. */
import { request, type ClientRequest } from 'node:http';
import { text } from 'node:stream/consumers';

const BOUNDARY = 'boundary-of-a-test';

export interface RawAnswer {
  readonly status: number;
  readonly body: {
    readonly data?: { readonly result: Readonly<Record<string, unknown>> };
    readonly errors?: readonly {
      readonly message: string;
      readonly extensions?: { readonly code?: string };
    }[];
  };
}

export class RawForm {
  /** What comes back, which may be before the end was sent. */
  readonly answer: Promise<RawAnswer>;
  readonly #request: ClientRequest;

  constructor(url: string, token?: string) {
    const headers: Record<string, string> = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    this.#request = request(`${url}/graphql`, { method: 'POST', agent: false, headers });
    this.answer = new Promise((resolve, reject) => {
      this.#request.once('error', reject);
      this.#request.once('response', (response) => {
        text(response).then(
          (body) =>
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(body) as RawAnswer['body'] }),
          reject,
        );
      });
    });
    // A form that is cut has no answer, and nobody waits for it.
    this.answer.catch(() => undefined);
  }

  #part(disposition: string, body: Uint8Array | string): this {
    this.#request.write(`--${BOUNDARY}\r\ncontent-disposition: form-data; ${disposition}\r\n\r\n`);
    this.#request.write(body);
    return this;
  }

  field(name: string, value: unknown): this {
    return this.#part(`name="${name}"`, `${JSON.stringify(value)}\r\n`);
  }

  /** The beginning of a file; `write` sends more of it. */
  file(part: string, fileName: string, content: Uint8Array | string): this {
    return this.#part(`name="${part}"; filename="${fileName}"`, content);
  }

  write(content: Uint8Array | string): this {
    this.#request.write(content);
    return this;
  }

  /** The end of the last part and of the form. */
  end(): this {
    this.#request.end(`\r\n--${BOUNDARY}--\r\n`);
    return this;
  }

  /** Breaks the connection. */
  cut(): void {
    this.#request.destroy();
  }
}

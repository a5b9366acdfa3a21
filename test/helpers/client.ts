/** Clients of the api: GraphQL over HTTP, multipart and WebSocket. */
import { createClient, type Client, type ClientOptions } from 'graphql-ws';
import { WebSocket } from 'ws';

export interface Asking {
  /** Sent as `Authorization: Bearer …`. */
  readonly token?: string | undefined;
  readonly headers?: Record<string, string> | undefined;
}

export interface GraphQLFault {
  readonly message: string;
  readonly path?: readonly (string | number)[];
  readonly extensions?: Readonly<Record<string, unknown>>;
}

export interface Answer<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: { readonly data?: T | null; readonly errors?: readonly GraphQLFault[] };
}

/** A file for a form. */
export interface UploadFile {
  readonly name: string;
  readonly content: Uint8Array | string;
}

export type Variables = Readonly<Record<string, unknown>>;

const bearer = ({ token }: Asking): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` };

async function answerOf<T>(response: Response): Promise<Answer<T>> {
  const body = (await response.json()) as Answer<T>['body'];
  return { status: response.status, headers: response.headers, body };
}

/** Sends one operation as JSON. */
export async function postGraphQL<T>(
  url: string,
  query: string,
  variables: Variables = {},
  asking: Asking = {},
): Promise<Answer<T>> {
  const headers = { 'content-type': 'application/json', ...bearer(asking), ...asking.headers };
  const body = JSON.stringify({ query, variables });
  return answerOf(await fetch(`${url}/graphql`, { method: 'POST', headers, body }));
}

/** Sends one operation with files, each under the path of its variable, such as `variables.input.files.0`. */
export async function postForm<T>(
  url: string,
  operations: { readonly query: string; readonly variables: Variables },
  files: Readonly<Record<string, UploadFile>>,
  asking: Asking = {},
): Promise<Answer<T>> {
  const form = new FormData();
  const entries = Object.entries(files);
  form.set('operations', JSON.stringify(operations));
  form.set('map', JSON.stringify(Object.fromEntries(entries.map(([path], part) => [part, [path]]))));
  entries.forEach(([, { name, content }], part) =>
    form.set(String(part), new Blob([content as Uint8Array<ArrayBuffer>]), name),
  );
  const headers = { ...bearer(asking), ...asking.headers };
  return answerOf(await fetch(`${url}/graphql`, { method: 'POST', headers, body: form }));
}

/** A graphql-ws client; it reconnects only where `options` say so. */
export function webSocketClient(
  url: string,
  asking: Asking = {},
  options: Partial<ClientOptions> = {},
): Client {
  class Socket extends WebSocket {
    constructor(address: string, protocols?: string | string[]) {
      super(address, protocols, { headers: { ...asking.headers } });
    }
  }
  return createClient({
    url: `${url.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: Socket,
    connectionParams: bearer(asking),
    retryAttempts: 0,
    ...options,
  });
}

/** What a subscription yields, over a socket of its own that closes with it. @throws Error for any GraphQL error. */
export async function* subscription<T>(
  client: Client,
  query: string,
  variables: Variables,
): AsyncGenerator<T, void, void> {
  try {
    for await (const result of client.iterate<T>({ query, variables })) {
      if (result.errors) throw new Error(`The subscription answers ${JSON.stringify(result.errors)}.`);
      yield result.data as T;
    }
  } finally {
    await client.dispose();
  }
}

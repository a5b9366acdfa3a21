/** One GraphQL request, as its sender and as its bytes. */

export interface GraphqlRequest {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** Sends it (or a body as it is) and answers with the body's text. @throws Error where it is not 200. */
export async function postText(url: string, request: GraphqlRequest | string): Promise<string> {
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: typeof request === 'string' ? request : JSON.stringify(request),
  });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`${answer.status}: ${text}`);
  return text;
}

/** Sends it and answers with its data. @throws Error with the messages of its errors. */
export async function post<T>(url: string, request: GraphqlRequest): Promise<T> {
  const { data, errors } = JSON.parse(await postText(url, request)) as {
    data: T;
    errors?: { message: string }[];
  };
  if (errors) throw new Error(errors.map(({ message }) => message).join(' '));
  return data;
}

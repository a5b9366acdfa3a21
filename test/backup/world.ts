/** What is asked of an installation before a backup, and of the one that was restored from it. */
import { buffer } from 'node:stream/consumers';
import type { ReadableStream } from 'node:stream/web';
import type { Stack } from '#test/helpers/stack.ts';

const modelsQuery = `{ project(name: "test") {
  name createdAt
  models(first: 5) { edges { node { id name createdAt aliases { name version { number } } latest { number }
    versions(first: 40) { edges { node {
      id number status digest bytes message createdAt author { name kind } parents { number }
      artifacts { path digest bytes } metrics { name value } tags { key value } } } } } } }
  deployments(first: 5) { edges { node { id name arms { name version { number } } } } }
} }`;

const ledgerQuery = `query ($after: String) { project(name: "test") { ledger(first: 50, after: $after) {
  edges { cursor node { id sequence at type summary actor { name } data } } } } }`;

export interface Event {
  readonly sequence: number;
  readonly type: string;
}

interface Edges<T> {
  readonly edges: readonly { readonly cursor: string; readonly node: T }[];
}

export interface World {
  readonly models: Edges<{
    readonly name: string;
    readonly latest: { readonly number: number } | null;
  }>;
}

export async function worldOf(stack: Stack): Promise<World> {
  return (await stack.data<{ project: World }>(modelsQuery)).project;
}

/** All events, oldest first. */
export async function ledgerOf(stack: Stack): Promise<Event[]> {
  const events: Event[] = [];
  for (let after: string | null = null; ;) {
    type Page = { project: { ledger: Edges<Event> } };
    const { ledger }: Page['project'] = (await stack.data<Page>(ledgerQuery, { after })).project;
    events.push(...ledger.edges.map(({ node }) => node));
    const last = ledger.edges.at(-1);
    if (!last) return events.toSorted((a, b) => a.sequence - b.sequence);
    after = last.cursor;
  }
}

/** The bytes of a file of a version. */
export async function download(stack: Stack, ref: string, path: string, token?: string): Promise<Buffer> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const answer = await fetch(`${stack.api.url}/versions/${ref}/files/${path}`, { headers });
  if (!answer.ok || !answer.body) throw new Error(`HTTP ${answer.status}: ${await answer.text()}`);
  return buffer(answer.body as ReadableStream);
}

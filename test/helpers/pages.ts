/** Connections, page by page. */
import type { Installation } from './installation.ts';
import type { Variables } from './client.ts';

export interface PageOf<Edge> {
  readonly edges: readonly Edge[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly endCursor: string | null;
  };
}

/** What a query has to ask of a connection whose edges hold `node`, beside what else it wants of them. */
export const pageFields = 'pageInfo { hasNextPage hasPreviousPage endCursor }';

/**
 * All pages of a connection.
 * @param query takes `$first` and `$after`.
 * @param path where in its data the connection is, as in `node.graph`.
 * @param between runs before the next page is asked for.
 */
export async function pagesOf<Edge>(
  installation: Installation,
  query: string,
  variables: Variables,
  path: string,
  between?: () => Promise<unknown>,
): Promise<PageOf<Edge>[]> {
  const pages: PageOf<Edge>[] = [];
  let after: string | null = null;
  do {
    const data: unknown = await installation.data(query, { ...variables, after });
    const page = within(data, path) as PageOf<Edge>;
    pages.push(page);
    after = page.pageInfo.endCursor;
    if (page.pageInfo.hasNextPage) await between?.();
  } while (pages.at(-1)?.pageInfo.hasNextPage);
  return pages;
}

/** What lies at a path such as `node.parents.0.number` within plain data. */
export function within(data: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce((value, step) => (value as Readonly<Record<string, unknown>> | null)?.[step], data);
}

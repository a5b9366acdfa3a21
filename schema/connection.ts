import type { Page } from '#src/paging/paging.ts';
import { toCursor } from '#src/paging/paging.ts';

/** A page as a Relay connection. */
export function connectionOf<T>(page: Page<T>, keyOf: (item: T) => readonly string[]) {
  const edges = page.items.map((node) => ({ cursor: toCursor(keyOf(node)), node }));
  return {
    edges,
    pageInfo: {
      hasNextPage: page.hasNextPage,
      hasPreviousPage: page.hasPreviousPage,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}

/** Cost of a page: what one item costs, as often as asked for. */
export function pageCost(args: { first?: number | null | undefined }): { field: number; multiplier: number } {
  return { field: 1, multiplier: Math.max(1, args.first ?? 20) };
}

/** Descriptions of the arguments of every connection. */
export const pageArgs = {
  first: 'Most items in the page, 1 to 100.',
  after: 'Cursor behind which the page starts; without it at the beginning.',
};

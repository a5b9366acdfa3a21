/** What is true of a stack behind its public door. */
import { readdirSync, readFileSync } from 'node:fs';
import type { sql } from 'kysely';
import type { Stack } from '#test/helpers/stack.ts';

/** Pids of all replica processes of a stack, whether somebody has put them on record or not. */
export function replicaProcesses(stack: Stack): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${stack.dataDir}/run/replicas/`);
      } catch {
        return false;
      }
    });
}

/** The id of the work on a deployment that was last asked for. */
export async function operationOf(stack: Stack, deployment: string): Promise<string> {
  const query = 'query ($id: ID!) { node(id: $id) { ... on Deployment { operation { id } } } }';
  const { node } = await stack.data<{ node: { operation: { id: string } } }>(query, { id: deployment });
  return node.operation.id;
}

export async function rowsOf<T>(stack: Stack, query: ReturnType<typeof sql<T>>): Promise<T[]> {
  const database = stack.openDatabase();
  try {
    return (await query.execute(database.db)).rows;
  } finally {
    await database.close();
  }
}

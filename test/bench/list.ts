/**
 * 20 of 10,000 models with author and latest version, from PostgreSQL, against bare node:http with the same bytes. Those
 * who ask for the same page in the same turn of the api's event loop share the work; the second figure is without that.
 */
import { openDatabase } from '#src/platform/database.ts';
import { sql } from 'kysely';
import { startChild } from './child.ts';
import type { Duration } from './compare.ts';
import { postText } from './graphql.ts';
import { cpuSeconds, familyCpuSeconds } from './process-usage.ts';
import { ratioFigure } from './ratio.ts';
import type { Stack } from './stack.ts';
import type { Figure } from './table.ts';

const MODELS = 10_000;
const PAGE = 20;
const TARGET = 0.12;

const query = `query Models($project: String!, $after: String) {
  project(name: $project) {
    models(first: 20, after: $after) {
      edges {
        cursor
        node {
          id name description createdAt
          createdBy { name kind }
          latest { id number status message author { name kind } createdAt bytes }
        }
      }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}`;

/** Models with two versions each, all with the demo's signature; by SQL: through the public door it would take minutes. */
const seed = [
  `insert into project (id, name, description, created_by_name, created_by_kind)
   values (gen_random_uuid(), 'bench', 'Many models.', 'bench', 'USER')`,
  `insert into operation (id, project_id, kind, subject_id, status, unit, by_name, by_kind)
   select gen_random_uuid(), id, 'version.ingest', id, 'SUCCEEDED', 'bytes', 'bench', 'USER'
   from project where name = 'bench'`,
  `insert into model (id, project_id, name, description, last_number, created_by_name, created_by_kind)
   select gen_random_uuid(), p.id, 'model-' || lpad(n::text, 5, '0'), 'Model number ' || n || ' of many.', 2, 'bench', 'USER'
   from project p, generate_series(1, ${MODELS}) n where p.name = 'bench'`,
  `insert into version (id, project_id, model_id, number, status, message, author_name, author_kind, format, bytes,
                        digest, signature, operation_id)
   select gen_random_uuid(), m.project_id, m.id, n, 'READY', 'Version ' || n || ' of ' || m.name, 'bench', 'USER', 'ONNX',
          1000 * n, encode(sha256(m.name::bytea), 'hex'), s.signature, o.id
   from model m join project p on p.id = m.project_id join operation o on o.project_id = p.id,
        generate_series(1, 2) n, (select signature from version where signature is not null limit 1) s
   where p.name = 'bench'`,
  'analyze',
];

async function seedModels(databaseUrl: string): Promise<void> {
  const { db, close } = openDatabase({ url: databaseUrl, pool: 2 });
  try {
    for (const statement of seed) await sql.raw(statement).execute(db);
  } finally {
    await close();
  }
}

/** The cursor behind which page `number` starts, counted from 0: as the api makes it, of the last name before. */
function cursorBefore(number: number): string | null {
  if (number === 0) return null;
  const last = `model-${String(number * PAGE).padStart(5, '0')}`;
  return Buffer.from(JSON.stringify([last])).toString('base64url');
}

const bodyOf = (page: number): string =>
  JSON.stringify({ query, variables: { project: 'bench', after: cursorBefore(page) } });

/** @param apart whether to measure without sharing, too. */
export async function list(stack: Stack, duration: Duration, apart: boolean): Promise<Figure[]> {
  await seedModels(stack.databaseUrl);
  const answer = await postText(stack.url, bodyOf(0));
  const bare = startChild('static.process.ts', ['0', answer]);
  const ours = {
    port: Number(new URL(stack.url).port),
    cpu: () => ({ api: cpuSeconds([stack.pid('api')]), PostgreSQL: familyCpuSeconds(stack.pid('postgres')) }),
  };
  try {
    const { port } = await bare.next<{ port: number }>();
    const cpu = () => ({ server: cpuSeconds([bare.pid]) });
    const against = (
      what: string,
      bodies: readonly string[],
      target: number | undefined,
    ): Promise<Figure> => {
      const asked = { bodies, mark: '"endCursor":"' };
      const contenders = [
        { target: { port: ours.port, ...asked }, cpu: ours.cpu },
        { target: { port, ...asked }, cpu },
      ] as const;
      return ratioFigure(what, contenders, 'bare node:http, same bytes', target, duration);
    };
    const what = `List of ${PAGE} models with author and latest version, of ${MODELS.toLocaleString('en')}`;
    const pages = Array.from({ length: MODELS / PAGE }, (_, page) => bodyOf(page));
    const together = await against(`${what}: everybody the first page`, pages.slice(0, 1), TARGET);
    if (!apart) return [together];
    return [together, await against(`${what}: everybody another page`, pages, undefined)];
  } finally {
    await bare.end();
  }
}

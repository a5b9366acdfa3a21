/** 20 of 10,000 models with author and latest version, from PostgreSQL, against bare node:http with the same bytes. */
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
const TARGET = 0.12;

const query = `query Models($project: String!) {
  project(name: $project) {
    models(first: 20) {
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

export async function list(stack: Stack, duration: Duration): Promise<Figure[]> {
  await seedModels(stack.databaseUrl);
  const request = { query, variables: { project: 'bench' } };
  const body = JSON.stringify(request);
  const answer = await postText(stack.url, request);
  const bare = startChild('static.process.ts', ['0', answer]);
  try {
    const { port } = await bare.next<{ port: number }>();
    const mark = '"name":"model-00020"';
    const ours = {
      target: { port: Number(new URL(stack.url).port), body, mark },
      cpu: () => ({
        api: cpuSeconds([stack.pid('api')]),
        PostgreSQL: familyCpuSeconds(stack.pid('postgres')),
      }),
    };
    const limit = { target: { port, body, mark }, cpu: () => ({ server: cpuSeconds([bare.pid]) }) };
    const what = `List of 20 models with author and latest version, of ${MODELS.toLocaleString('en')}`;
    return [await ratioFigure(what, [ours, limit], 'bare node:http, same bytes', TARGET, duration)];
  } finally {
    await bare.end();
  }
}

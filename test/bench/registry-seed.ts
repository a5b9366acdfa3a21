/** Many models and versions, by SQL: through the public door it would take an hour. */
import { sql } from 'kysely';
import { openDatabase } from '#src/platform/database.ts';

const MODELS = 10_000;
const VERSIONS_OF_EACH = 10;
/** Of the one model with a long history: enough for a page number 1,000 of 50. */
export const VERSIONS_OF_ONE = 50_050;

const prefixes = [
  'fraud',
  'churn',
  'price',
  'rank',
  'spam',
  'risk',
  'demand',
  'image',
  'speech',
  'intent',
  'credit',
  'claims',
  'route',
  'stock',
  'sales',
  'search',
  'vision',
  'topic',
  'score',
  'match',
];

/** An id that sorts by `n`, as those of the program sort by time. */
const idBy = (n: string): string =>
  `(lpad(to_hex(1760000000000 + ${n}), 12, '0') || '7000' || '8000' || lpad(to_hex((random() * 281474976710655)::bigint), 12, '0'))::uuid`;

const columns = `(id, project_id, model_id, number, status, message, author_name, author_kind, created_at, format, bytes,
  digest, tags, metadata)`;

const seed = [
  `insert into project (id, name, created_by_name, created_by_kind)
   values (gen_random_uuid(), 'registry', 'bench', 'USER'), (gen_random_uuid(), 'deep', 'bench', 'USER')`,
  `insert into model (id, project_id, name, last_number, created_by_name, created_by_kind)
   select gen_random_uuid(), p.id, (array[${prefixes.map((name) => `'${name}'`).join(',')}])[1 + n % 20] || '-' ||
          lpad((n / 20)::text, 5, '0'), ${VERSIONS_OF_EACH}, 'bench', 'USER'
   from project p, generate_series(0, ${MODELS - 1}) n where p.name = 'registry'`,
  `insert into model (id, project_id, name, last_number, created_by_name, created_by_kind)
   select gen_random_uuid(), id, 'long', ${VERSIONS_OF_ONE}, 'bench', 'USER' from project where name = 'deep'`,
  `insert into version ${columns}
   select ${idBy('row_number() over (order by number, md5(m.id::text))')}, m.project_id, m.id, number, 'READY',
          'Trained on week ' || number || ' of ' || m.name, 'author-' || (hashtext(m.name || number) & 49), 'USER',
          now() - (interval '1 hour' * (${VERSIONS_OF_EACH} - number)), 'ONNX', 1000 + (hashtext(m.name) & 1048575),
          encode(sha256((m.name || number)::bytea), 'hex'),
          jsonb_build_array(
            jsonb_build_object('key', 'stage', 'value', (array['dev', 'test', 'prod'])[1 + (hashtext(m.name || number) & 65535) % 3]),
            jsonb_build_object('key', 'team', 'value', 'team-' || (hashtext(m.name) & 15))),
          '{"rows": 150}'
   from model m join project p on p.id = m.project_id, generate_series(1, ${VERSIONS_OF_EACH}) number
   where p.name = 'registry'`,
  `insert into version ${columns}
   select ${idBy(`${MODELS * VERSIONS_OF_EACH} + number`)}, m.project_id, m.id, number, 'READY', 'Night ' || number,
          'author-' || number % 50, 'USER', now(), 'ONNX', 1000, encode(sha256(number::text::bytea), 'hex'),
          '[{"key": "stage", "value": "dev"}]', '{"rows": 150}'
   from model m join project p on p.id = m.project_id, generate_series(1, ${VERSIONS_OF_ONE}) number
   where p.name = 'deep'`,
  `insert into version_metric (version_id, project_id, name, value)
   select v.id, v.project_id, metric, 0.5 + (hashtext(v.id::text || metric) & 65535) / 131072.0
   from version v join project p on p.id = v.project_id, unnest(array['accuracy', 'f1']) metric
   where p.name in ('registry', 'deep')`,
  `insert into alias (id, project_id, model_id, name, version_id, moved_at, moved_by_name, moved_by_kind)
   select gen_random_uuid(), v.project_id, v.model_id, 'champion', v.id, now(), 'bench', 'USER'
   from version v join project p on p.id = v.project_id where p.name = 'registry' and v.number = 7`,
  'analyze',
];

/** Searches with three predicates: a prefix, a metric or an alias, a tag that it must not have. */
export const SEARCH = prefixes.flatMap((prefix) =>
  [0.93, 0.97].map((accuracy) => ({
    query: `name:${prefix}* AND (metric.accuracy > ${accuracy} OR alias:champion) AND NOT tag:stage=dev`,
    values: [`${prefix}%`, accuracy],
  })),
);

/**
 * The same by hand: from the newest version down, each looked at until the page is full. The range on the project, OFFSET 0
 * and IS TRUE keep the planner from reading all metrics and aliases first, or the versions of other projects.
 */
export const BEST_SEARCH = `
  select v.id, v.number, v.status, v.created_at, v.author_name, v.tags,
         (select json_agg(json_build_object('name', x.name, 'value', x.value) order by x.name)
          from version_metric x where x.version_id = v.id) as metrics
  from (
    select c.project_id, c.id from version c
    where c.project_id >= (select id from project where name = 'registry')
      and c.project_id <= (select id from project where name = 'registry') and c.deleted_at is null
      and (c.model_id in (
        select m.id from model m join project p on p.id = m.project_id
        where p.name = 'registry' and m.deleted_at is null and m.name like $1)) is true
      and (exists (select from version_metric x
                   where x.version_id = c.id and x.name = 'accuracy' and (x.value > $2) is true offset 0)
        or exists (select from alias a where a.version_id = c.id and (a.name = 'champion') is true offset 0))
    order by c.project_id desc, c.id desc offset 0
  ) c
  join lateral (
    select * from version v
    where v.id = c.id and (v.tags @> '[{"key": "stage", "value": "dev"}]') is not true offset 0
  ) v on true
  order by c.project_id desc, c.id desc limit 21`;

export async function seedRegistry(databaseUrl: string): Promise<void> {
  const { db, close } = openDatabase({ url: databaseUrl, pool: 1 });
  try {
    for (const statement of seed) await sql.raw(statement).execute(db);
  } finally {
    await close();
  }
}

/** Statements of a backup and a restore, on one connection by itself: COPY needs that, and Kysely does not know it. */
import type { Session } from '../platform/database.ts';
import { KEPT_BYTES_LOCK } from '../platform/locks.ts';
import { UNFINISHED_RESTORE } from '../platform/migrate.ts';

/** Written by Kysely; they are not the installation's own. */
const BOOKKEEPING = ['kysely_migration', 'kysely_migration_lock', UNFINISHED_RESTORE];

/** Digests that versions and whole uploads hold. */
const HELD = `
  select blob_digest as digest from version_artifact where blob_digest is not null
  union select blob_digest from upload where blob_digest is not null and stored_at is not null`;

/**
 * What of a table is part of a backup, where it is not all: an upload that is still being received is none, and bytes
 * that nobody holds are on their way out.
 */
const PART: Readonly<Record<string, string>> = {
  upload: 'where stored_at is not null',
  blob: `where digest in (${HELD})`,
};

/** What a file is called for a person: the version and the path that hold it (one of them, where there are several). */
const NAMED = `
  select a.blob_digest as digest, p.name || '/' || m.name || ':' || v.number || ' ' || a.path as name
  from version_artifact a join version v on v.id = a.version_id join model m on m.id = v.model_id
    join project p on p.id = v.project_id where a.blob_digest is not null
  union all
  select u.blob_digest, 'upload ' || u.path from upload u where u.blob_digest is not null and u.stored_at is not null`;

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Sees to it that no bytes are freed until the session ends; waits for who is freeing some. */
export async function holdBytes(session: Session): Promise<void> {
  await session.query('select pg_advisory_lock_shared(hashtextextended($1, 0))', [KEPT_BYTES_LOCK]);
}

/** False when another session has it. */
export async function tryLock(session: Session, key: string): Promise<boolean> {
  const [row] = await session.query('select pg_try_advisory_lock(hashtextextended($1, 0)) as got', [key]);
  return row?.['got'] === true;
}

/** One view of all rows until `commit`. */
export async function beginSnapshot(session: Session): Promise<void> {
  await session.query('begin transaction isolation level repeatable read read only');
}

export async function has(session: Session, table: string): Promise<boolean> {
  const [row] = await session.query('select to_regclass($1) is not null as found', [table]);
  return row?.['found'] === true;
}

export async function installationId(session: Session): Promise<string> {
  const [row] = await session.query('select id from installation');
  return String(row?.['id']);
}

export async function appliedMigrations(session: Session): Promise<string[]> {
  if (!(await has(session, 'kysely_migration'))) return [];
  const rows = await session.query('select name from kysely_migration order by name');
  return rows.map((row) => String(row['name']));
}

export interface Table {
  readonly name: string;
  readonly columns: readonly string[];
}

/** The tables with the columns that are stored, not computed; extensions' own are left out. */
export async function listTables(session: Session): Promise<Table[]> {
  const rows = await session.query(
    `select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
     from pg_class c join pg_attribute a on a.attrelid = c.oid
     where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
       and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and c.relname <> all($1)
       and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     group by c.relname order by c.relname`,
    [BOOKKEEPING],
  );
  return rows.map((row) => ({ name: String(row['name']), columns: row['columns'] as string[] }));
}

export interface Partition {
  readonly name: string;
  readonly parent: string;
  readonly bounds: string;
}

/** Parts of tables, each behind the one that it is a part of. */
export async function listPartitions(session: Session): Promise<Partition[]> {
  const rows = await session.query(
    `select part.relname as name, parent.relname as parent, pg_get_expr(part.relpartbound, part.oid) as bounds
     from pg_class root cross join lateral pg_partition_tree(root.oid) t
       join pg_class part on part.oid = t.relid join pg_class parent on parent.oid = t.parentrelid
     where root.relkind = 'p' and not root.relispartition and root.relnamespace = current_schema()::regnamespace
     order by t.level, part.relname`,
  );
  return rows.map(({ name, parent, bounds }) => ({
    name: String(name),
    parent: String(parent),
    bounds: String(bounds),
  }));
}

/** Makes those parts that no migration made. */
export async function addPartitions(session: Session, partitions: readonly Partition[]): Promise<void> {
  for (const { name, parent, bounds } of partitions) {
    if (!(await has(session, quoted(name))))
      await session.query(`create table ${quoted(name)} partition of ${quoted(parent)} ${bounds}`);
  }
}

export async function listSequences(session: Session): Promise<{ name: string; last: string | null }[]> {
  const rows = await session.query(
    'select sequencename as name, last_value::text as last from pg_sequences where schemaname = current_schema() order by 1',
  );
  return rows.map((row) => ({ name: String(row['name']), last: row['last'] as string | null }));
}

/** Rows in the order in which they lie; a restore puts them back the same. */
export function copyTable({ name, columns }: Table): string {
  const list = columns.map(quoted).join(', ');
  return `copy (select ${list} from ${quoted(name)} ${PART[name] ?? ''}) to stdout`;
}

/** Digest, bytes and a name of every file that is held, once. */
export const copyFiles = `copy (
  select h.digest, b.bytes, min(n.name) from (${HELD}) h join blob b on b.digest = h.digest
    join (${NAMED}) n on n.digest = h.digest
  group by h.digest, b.bytes order by h.digest collate "C") to stdout`;

export interface Held {
  readonly digest: string;
  readonly bytes: number;
}

/** Files that are held, by digest, behind one of them; with the size that their versions say they have. */
export async function listHeld(session: Session, after: string, limit: number): Promise<Held[]> {
  const rows = await session.query(
    `select h.digest, b.bytes from (${HELD}) h join blob b on b.digest = h.digest
     where h.digest > $1 order by h.digest limit $2`,
    [after, limit],
  );
  return rows.map((row) => ({ digest: String(row['digest']), bytes: Number(row['bytes']) }));
}

export interface Known {
  readonly bytes: number;
  readonly isHeld: boolean;
}

/** Of these digests those that have a row: what it says of their size, and whether anybody holds them. */
export async function findKnown(session: Session, digests: readonly string[]): Promise<Map<string, Known>> {
  const rows = await session.query(
    `select digest, bytes, digest in (${HELD}) as held from blob where digest = any($1)`,
    [digests],
  );
  return new Map(
    rows.map((row) => [String(row['digest']), { bytes: Number(row['bytes']), isHeld: row['held'] === true }]),
  );
}

/** Versions and paths that hold a file, a few of them. */
export async function namesOf(session: Session, digest: string): Promise<string[]> {
  const rows = await session.query(`select name from (${NAMED}) n where digest = $1 order by name limit 10`, [
    digest,
  ]);
  return rows.map((row) => String(row['name']));
}

/** Versions whose files differ in size from what is written down of the bytes that they hold. */
export async function listMismatched(session: Session): Promise<string[]> {
  const rows = await session.query(
    `select p.name || '/' || m.name || ':' || v.number || ' ' || a.path as name
     from version_artifact a join blob b on b.digest = a.blob_digest join version v on v.id = a.version_id
       join model m on m.id = v.model_id join project p on p.id = v.project_id
     where b.bytes <> a.bytes or b.digest <> a.digest order by 1 limit 100`,
  );
  return rows.map((row) => String(row['name']));
}

/** The first of some tables that has a row. */
export async function findFilled(session: Session, tables: readonly Table[]): Promise<string | undefined> {
  for (const { name } of tables) {
    const [row] = await session.query(`select exists (select from ${quoted(name)}) as filled`);
    if (row?.['filled'] === true) return name;
  }
  return undefined;
}

/** How many processes of an installation are connected to this database. */
export async function countConnected(session: Session): Promise<number> {
  const [row] = await session.query(
    `select count(*)::integer as count from pg_stat_activity
     where datname = current_database() and application_name = 'modelarium' and pid <> pg_backend_pid()`,
  );
  return Number(row?.['count']);
}

/** The id of the installation that is being restored; undefined where none is. */
export async function unfinishedRestore(session: Session): Promise<string | undefined> {
  if (!(await has(session, UNFINISHED_RESTORE))) return undefined;
  const [row] = await session.query(`select installation from ${UNFINISHED_RESTORE}`);
  return String(row?.['installation']);
}

export async function beginRestore(session: Session, installation: string): Promise<void> {
  await session.query('begin');
  await session.query(`create table ${UNFINISHED_RESTORE} (installation uuid not null)`);
  await session.query(`insert into ${UNFINISHED_RESTORE} values ($1)`, [installation]);
  await session.query('commit');
}

export async function endRestore(session: Session): Promise<void> {
  await session.query(`drop table ${UNFINISHED_RESTORE}`);
}

/**
 * Empties tables and takes off what would act on each row: triggers (what they would write comes along as rows) and
 * references to other tables. All of it is an owner's right, no superuser's. Answers what puts it back, and checks each
 * reference then.
 */
export async function openForLoading(session: Session, tables: readonly Table[]): Promise<string[]> {
  const names = tables.map(({ name }) => quoted(name));
  await session.query(`truncate ${names.join(', ')}`);
  const keys = await session.query(
    `select format('alter table %I drop constraint %I', c.relname, k.conname) as off,
       format('alter table %I add constraint %I %s', c.relname, k.conname, pg_get_constraintdef(k.oid)) as back
     from pg_constraint k join pg_class c on c.oid = k.conrelid
     where k.contype = 'f' and k.conparentid = 0 and c.relnamespace = current_schema()::regnamespace
     order by c.relname, k.conname`,
  );
  for (const { off } of keys) await session.query(String(off));
  for (const name of names) await session.query(`alter table ${name} disable trigger user`);
  return [
    ...names.map((name) => `alter table ${name} enable trigger user`),
    ...keys.map(({ back }) => String(back)),
  ];
}

export function copyInto({ name, columns }: Table): string {
  return `copy ${quoted(name)} (${columns.map(quoted).join(', ')}) from stdin`;
}

export async function setSequence(session: Session, name: string, last: string | null): Promise<void> {
  // One that is not there does nothing: it went with a table that is none of ours.
  if (last !== null) await session.query('select setval(to_regclass($1), $2)', [quoted(name), last]);
}

/** What was restored goes by an id of its own: the original may go on, and its store must stay its own. */
export async function setInstallation(session: Session, id: string): Promise<void> {
  await session.query('update installation set id = $1', [id]);
}

/**
 * Replicas are wanted as before, but nobody's processes: those of the original may still run on this very host. Nothing
 * has been heard of them since ever, so the worker that looks first takes them, on whatever host.
 */
export async function forgetProcesses(session: Session): Promise<void> {
  await session.query(
    `update replica set state = 'EXITED', exit_reason = 'It was draining when the backup was taken.' where state = 'DRAINING'`,
  );
  await session.query(
    `update replica set state = 'STARTING', keeper = null, lease_until = 'epoch', pid = null, process_start = null,
       endpoint = null, token = null, ready_at = null, next_restart_at = null, in_flight = 0
     where state <> 'EXITED'`,
  );
}

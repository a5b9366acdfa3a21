import type { Insertable, Selectable } from 'kysely';
import type { Database, Db, PreparedRead } from '../platform/database.ts';
import type { Project } from '../platform/database.generated.ts';

export type ProjectRow = Selectable<Project>;

export function insertProject(db: Db, project: Insertable<Project>): Promise<ProjectRow> {
  return db.insertInto('project').values(project).returningAll().executeTakeFirstOrThrow();
}

const byName: PreparedRead<ProjectRow, ProjectRow | undefined> = {
  name: 'project.by-name',
  text: `
    select id, name, description, created_at as "createdAt", created_by_name as "createdByName",
           created_by_kind as "createdByKind"
    from project where name = $1`,
  shape: ([row]) => row,
};

const KEPT_MS = 1_000;
const MOST_KEPT = 1_000;
type Kept = Map<string, { readonly project: ProjectRow; readonly until: number }>;
const keptBy = new WeakMap<Database, Kept>();

/**
 * A project that was found is not asked for again for a second: nearly every query starts with one, and nothing changes
 * or removes a project. One that was not found may have come into being meanwhile, and is asked for each time.
 */
export async function findProjectByName(database: Database, name: string): Promise<ProjectRow | undefined> {
  const kept: Kept = keptBy.get(database) ?? new Map();
  keptBy.set(database, kept);
  const known = kept.get(name);
  if (known && known.until > Date.now()) return known.project;
  const project = await database.read(byName, [name]);
  if (!project) return undefined;
  if (kept.size >= MOST_KEPT) kept.clear();
  kept.set(name, { project, until: Date.now() + KEPT_MS });
  return project;
}

export function findProjects(db: Db, ids: readonly string[]): Promise<ProjectRow[]> {
  return db.selectFrom('project').selectAll().where('id', 'in', ids).execute();
}

/** All projects by name, or the one that a token is for. */
export function listProjects(db: Db, onlyId: string | null): Promise<ProjectRow[]> {
  return db
    .selectFrom('project')
    .selectAll()
    .$if(onlyId !== null, (query) => query.where('id', '=', onlyId))
    .orderBy('name')
    .limit(1000)
    .execute();
}

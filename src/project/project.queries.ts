import type { Insertable, Selectable } from 'kysely';
import type { Database, Db, PreparedRead } from '../platform/database.ts';
import type { Project } from '../platform/database.generated.ts';

export type ProjectRow = Selectable<Project>;

export function insertProject(db: Db, project: Insertable<Project>): Promise<ProjectRow> {
  return db.insertInto('project').values(project).returningAll().executeTakeFirstOrThrow();
}

const byName: PreparedRead<ProjectRow, [name: string], ProjectRow | undefined> = {
  name: 'project.by-name',
  text: `
    select id, name, description, created_at as "createdAt", created_by_name as "createdByName",
           created_by_kind as "createdByKind"
    from project where name = $1`,
  shape: ([row]) => row,
};

export function findProjectByName(database: Database, name: string): Promise<ProjectRow | undefined> {
  return database.read(byName, [name]);
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

import type { Insertable, Selectable } from 'kysely';
import type { Db } from '../platform/database.ts';
import type { Project } from '../platform/database.generated.ts';

export type ProjectRow = Selectable<Project>;

export function insertProject(db: Db, project: Insertable<Project>): Promise<ProjectRow> {
  return db.insertInto('project').values(project).returningAll().executeTakeFirstOrThrow();
}

export function findProjectByName(db: Db, name: string): Promise<ProjectRow | undefined> {
  return db.selectFrom('project').selectAll().where('name', '=', name).executeTakeFirst();
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

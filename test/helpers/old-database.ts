/** A database as it was before the ledger, and rows as the code of that time wrote them. */
import { promises as fs } from 'node:fs';
import path from 'node:path';
import { sql } from 'kysely';
import { FileMigrationProvider, Migrator } from 'kysely/migration';
import { openDatabase, type Database } from '#src/platform/database.ts';
import { newId } from '#src/platform/id.ts';

/** Minutes of the day on which it all happened. */
export const at = (minute: number): string =>
  new Date(Date.UTC(2026, 10, 1, 0, minute, 0, 123)).toISOString();

const signature = {
  inputs: [],
  outputs: [],
  columns: null,
  classes: null,
  positiveClass: null,
  task: 'OTHER',
  labelOutput: null,
  probabilitiesOutput: null,
  valueOutput: null,
};

export interface OldVersion {
  readonly id: string;
  readonly status: 'READY' | 'REJECTED' | 'PENDING';
  readonly digest: string;
  readonly created: string;
  /** When its ingest ended; null: it has not. */
  readonly ended: string | null;
}

export interface OldDeployment {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  /** The id of the version that it serves. */
  readonly version: string;
  readonly created: string;
  readonly changed: string;
}

export class OldDatabase {
  readonly database: Database;
  /** Project `old`, and model `fraud` in it. */
  readonly project = newId();
  readonly model = newId();

  constructor(url: string) {
    this.database = openDatabase({ url, pool: 2 });
  }

  /** Makes the schema of that time, the project and the model. */
  async begin(): Promise<void> {
    const { db } = this.database;
    const migrationFolder = path.join(import.meta.dirname, '../../migrations');
    const provider = new FileMigrationProvider({ fs, path, migrationFolder });
    const migrator = new Migrator({ db, provider });
    const { error } = await migrator.migrateTo('20261123T2200_create_registry');
    if (error) throw error;
    await this.addProject(this.project, 'old', at(0));
    await sql`
      insert into model (id, project_id, name, created_at, created_by_name, created_by_kind)
      values (${this.model}, ${this.project}, 'fraud', ${at(2)}, 'ana', 'USER')`.execute(db);
  }

  async addProject(id: string, name: string, created: string): Promise<void> {
    await sql`
      insert into project (id, name, created_at, created_by_name, created_by_kind)
      values (${id}, ${name}, ${created}, 'root', 'USER')`.execute(this.database.db);
  }

  async addToken(id: string, created: string, revoked: string): Promise<void> {
    await sql`
      insert into api_token (id, project_id, name, role, hash, created_at, created_by_name, revoked_at)
      values (${id}, ${this.project}, 'ci', 'AUTHOR', ${Buffer.alloc(32)}, ${created}, 'root', ${revoked})`.execute(
      this.database.db,
    );
  }

  /** The next version of the model, of one file; its number. */
  async addVersion({ id, status, digest, created, ended }: OldVersion): Promise<number> {
    const { db } = this.database;
    const [ready, operation] = [status === 'READY', newId()];
    const work = ended === null ? 'QUEUED' : ready ? 'SUCCEEDED' : 'FAILED';
    await sql`
      insert into operation (id, project_id, kind, subject_id, status, unit, by_name, by_kind, queued_at, finished_at)
      values (${operation}, ${this.project}, 'version.ingest', ${id}, ${work}, 'bytes', 'ana', 'USER', ${created}, ${ended})`.execute(
      db,
    );
    const { rows } = await sql<{ number: number }>`
      with taken as (update model set last_number = last_number + 1 where id = ${this.model} returning last_number)
      insert into version (id, project_id, model_id, number, status, status_reason, message, author_name, author_kind,
        created_at, format, bytes, digest, signature, model_file, operation_id)
      select ${id}, ${this.project}, ${this.model}, last_number, ${status}, ${status === 'REJECTED' ? 'broken' : null},
        'as it was', 'ana', 'USER', ${created}, 'ONNX', 7, ${digest}, ${ready ? JSON.stringify(signature) : null},
        'm.onnx', ${operation}
      from taken returning number`.execute(db);
    await sql`insert into blob (digest, bytes) values (${digest}, 7) on conflict do nothing`.execute(db);
    await sql`
      insert into version_artifact (version_id, role, path, digest, bytes, media_type, blob_digest)
      values (${id}, 'UPLOADED', 'm.onnx', ${digest}, 7, 'application/onnx', ${ready ? digest : null})`.execute(
      db,
    );
    return rows[0]!.number;
  }

  async addDeployment({ id, name, state, version, created, changed }: OldDeployment): Promise<void> {
    const { db } = this.database;
    const reason = state === 'LIVE' ? null : 'a reason';
    await sql`
      insert into deployment (id, project_id, name, state, state_reason, desired_replicas, created_at, created_by_name,
        created_by_kind, changed_at)
      values (${id}, ${this.project}, ${name}, ${state}, ${reason}, 1, ${created}, 'ops', 'TOKEN', ${changed})`.execute(
      db,
    );
    await sql`
      insert into arm (id, deployment_id, version_id, name, role, weight)
      values (${newId()}, ${id}, ${version}, 'stable', 'STABLE', 1)`.execute(db);
  }
}

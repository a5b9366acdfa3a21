/** What a backup consists of: `manifest.json`, written last and in one step; without it there is no backup. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { BackupError } from './backup.errors.ts';

/** A file of the backup: gzip of COPY's text format, a line a row. */
const file = z.object({
  rows: z.int().nonnegative(),
  /** Of the compressed file, as its digest is. */
  bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const content = z.object({
  format: z.literal(1),
  /** Of this backup; its tables lie in `tables-<id>`. */
  id: z.uuid(),
  /** When its snapshot was taken. */
  at: z.iso.datetime(),
  /** Which installation it was taken of. */
  installation: z.uuid(),
  /** Those that its database had, in order. */
  migrations: z.array(z.string()).min(1),
  tables: z.array(file.extend({ name: z.string(), columns: z.array(z.string()).min(1) })),
  /** Parts of tables that the program made, behind the parts that they are of. */
  partitions: z.array(
    z.object({
      name: z.string().regex(/^\w+$/),
      parent: z.string().regex(/^\w+$/),
      bounds: z.string().regex(/^FOR VALUES (IN|FROM) \([^()]*\)( TO \([^()]*\))?$/),
    }),
  ),
  /** Last value of each, by name; null for one that was never used. */
  sequences: z.array(z.object({ name: z.string(), last: z.string().regex(/^\d+$/).nullable() })),
  /** The list of kept files (digest, bytes, whose it is), and how many bytes they are together. */
  files: file.extend({ totalBytes: z.int().nonnegative() }),
});

export type Manifest = z.infer<typeof content>;
export type PackedFile = z.infer<typeof file>;

const digestOf = (backup: unknown): string =>
  createHash('sha256').update(JSON.stringify(backup)).digest('hex');

/** With a digest of its own: a damaged byte in it is as bad as one in a table. */
export function printManifest(manifest: Manifest): string {
  return `${JSON.stringify({ sha256: digestOf(manifest), backup: manifest }, null, 2)}\n`;
}

/** Undefined where there is none. @throws BackupError for one that is damaged or of a newer kind. */
export async function readManifest(path: string): Promise<Manifest | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const damaged = new BackupError(`${path} is damaged. Use another backup.`);
  let found: { sha256?: unknown; backup?: { format?: unknown } };
  try {
    found = z.looseObject({ backup: z.looseObject({}) }).parse(JSON.parse(text));
  } catch {
    throw damaged;
  }
  if (found.sha256 !== digestOf(found.backup)) throw damaged;
  if (found.backup?.format !== 1) {
    throw new BackupError(
      `${path} is of format ${String(found.backup?.format)}, and this program knows format 1. Restore with the version of Modelarium that made it, or a newer one.`,
    );
  }
  return content.parse(found.backup);
}

/** Entry of `npm run backup`. */
import { relative } from 'node:path';
import { backUp } from '../backup/backup.ts';
import { BackupFolder } from '../backup/folder.ts';
import { loadStoreConfig } from '../platform/config.ts';
import { runCommand } from './command.ts';
import { LocalError } from './local-error.ts';
import { atInstallation } from './place.ts';
import { shownBytes } from './progress.ts';

const usage = 'npm run backup -- <folder>';

/** A reset would take a backup along that lies with the data. */
function checkOutside(folder: string): void {
  const { DATA_DIR, ARTIFACT_STORE } = loadStoreConfig(process.env);
  for (const data of [DATA_DIR, ARTIFACT_STORE]) {
    const way = relative(data, folder);
    if (way !== '' && (way.startsWith('..') || way.startsWith('/'))) continue;
    throw new LocalError(
      `${folder} lies in ${data}, which it is to save. Name a folder elsewhere, best on another disk.`,
    );
  }
}

await runCommand({
  env: process.env,
  usage,
  run: async (watch, path) => {
    if (path === undefined) throw new LocalError(`Say where to: ${usage}`);
    checkOutside(path);
    const options = { env: process.env, signal: watch.signal, log: watch.say, command: 'npm run backup' };
    const { manifest, copiedFiles, copiedBytes } = await atInstallation(options, (place) =>
      backUp(place, new BackupFolder(path), watch),
    );
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    watch.say(
      `Backed up to ${path}: ${rows} rows as of ${manifest.at}, ${manifest.files.rows} files ` +
        `(${shownBytes(manifest.files.totalBytes)}), ${copiedFiles} of them (${shownBytes(copiedBytes)}) copied now. ` +
        'It holds hashes of tokens and the key of links: keep it as confidential as the installation.',
    );
    return 0;
  },
});

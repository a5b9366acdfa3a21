/** Entry of `npm run restore`. */
import { BackupFolder } from '../backup/folder.ts';
import { checkBackup, restore } from '../backup/restore.ts';
import { runCommand } from './command.ts';
import { LocalError } from './local-error.ts';
import { atNewInstallation } from './place.ts';

const usage = 'npm run restore -- <folder>';

await runCommand({
  env: process.env,
  usage,
  run: async (watch, path) => {
    if (path === undefined) throw new LocalError(`Say where from: ${usage}`);
    const folder = new BackupFolder(path);
    const manifest = await checkBackup(folder, watch);
    const options = { env: process.env, signal: watch.signal, log: watch.say, command: 'npm run restore' };
    await atNewInstallation(options, (place) => restore(place, folder, manifest, watch));
    watch.say(
      `Restored what was there at ${manifest.at}. Start it as ever; what was deployed then comes up by itself.`,
    );
    return 0;
  },
});

/** Entry of `npm run verify`: looks at the artifact store, or at a backup where a folder is named. */
import { BackupFolder } from '../backup/folder.ts';
import { verifyBackup, verifyStore, type Finding } from '../backup/verify.ts';
import { runCommand } from './command.ts';
import { atInstallation } from './place.ts';
import { shownBytes } from './progress.ts';

await runCommand({
  env: process.env,
  usage: 'npm run verify, or npm run verify -- <folder of a backup>',
  run: async (watch, path) => {
    const report = ({ kind, text }: Finding): void => watch.say(`${kind}  ${text}`);
    const options = { env: process.env, signal: watch.signal, log: watch.say, command: 'npm run verify' };
    const found =
      path === undefined
        ? await atInstallation(options, (place) => verifyStore(place, watch, report))
        : await verifyBackup(new BackupFolder(path), watch, report);
    const waiting = found.waiting > 0 ? `, ${found.waiting} of them about to be freed` : '';
    const unknown = found.unknown > 0 ? `; ${found.unknown} that no row refers to` : '';
    watch.say(`${found.files} files (${shownBytes(found.bytes)}) are as they should be${waiting}${unknown}.`);
    if (found.damaged === 0) return 0;
    watch.say(
      `${found.damaged} damaged or missing. ` +
        (path === undefined
          ? 'Bring their bytes back from a backup (blobs/<first two digits>/<SHA-256>), or delete what holds them.'
          : 'A restore refuses this backup. Take a new one into another folder while the installation is there.'),
    );
    return 1;
  },
});

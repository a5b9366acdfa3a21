/** Entry of `npm run reset`: ends what was left running and empties the data folder. Asks nothing. */
import { existsSync } from 'node:fs';
import { ConfigError, loadEnvironment } from '../platform/config.ts';
import { emptyDataFolder, isEmpty, isMarked, prepareDataFolder } from './data-folder.ts';
import { LocalError } from './local-error.ts';
import { describeHolder, takeLock } from './lock.ts';
import { endRecorded, endReplicas } from './process-record.ts';

/** @throws LocalError, ConfigError */
async function reset(): Promise<string> {
  const { DATA_DIR } = loadEnvironment(process.env);
  if (!existsSync(DATA_DIR) || isEmpty(DATA_DIR)) return `${DATA_DIR} is empty already.`;
  if (!isMarked(DATA_DIR)) {
    throw new LocalError(
      `${DATA_DIR} was not made by \`npm start\`, so it may hold something else: left as it is. Delete it yourself if it can go.`,
    );
  }
  prepareDataFolder(DATA_DIR);
  // Held while deleting, so that no start begins in the middle; it goes with the folder.
  const lock = await takeLock(DATA_DIR);
  if ('heldBy' in lock)
    throw new LocalError(`${describeHolder(lock.heldBy)} Stop it first; nothing was deleted.`);
  await endRecorded(DATA_DIR);
  await endReplicas(DATA_DIR);
  emptyDataFolder(DATA_DIR);
  return `Emptied ${DATA_DIR}.`;
}

try {
  process.stdout.write(`${await reset()}\n`);
} catch (error) {
  if (!(error instanceof LocalError || error instanceof ConfigError)) throw error;
  process.stdout.write(`${error.message}\n`);
  process.exitCode = 1;
}

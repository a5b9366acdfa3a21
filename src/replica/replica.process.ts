/**
 * A replica: one version of one model behind the Open Inference Protocol v2, as a process of its own.
 * `node replica.process.ts <launch file>`, see process/launch.ts. It is detached: it writes nothing to its standard
 * streams, outlives whoever started it and ends when nobody renews its lease.
 */
import { readLaunch } from './process/launch.ts';
import { Replica } from './process/replica.ts';

const { launch, token } = readLaunch(process.argv[2] as string);
await new Replica(launch, token).start();

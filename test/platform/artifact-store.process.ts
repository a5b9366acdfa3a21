/**
 * A process that uses the store which its environment names, to be killed: `stage`, or `append <id> <offset> <bytes>`,
 * with standard input as the source, or `localise <digest>`. It tells what happens, a line of JSON each.
 */
import { Transform } from 'node:stream';
import { openFrom, type Environment } from '#test/helpers/stores.ts';

const tell = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);
const [verb, id = '', offset, bytes] = process.argv.slice(2);
const store = await openFrom(process.env as Environment);

let seen = 0;
const source = new Transform({
  transform: (chunk: Buffer, _encoding, done) => {
    seen += chunk.length;
    tell({ seen });
    done(null, chunk);
  },
});
process.stdin.pipe(source);

const verbs: Record<string, () => Promise<unknown>> = {
  stage: () => store.stage(source, 1024 ** 3),
  append: () => store.resumable.append(id, Number(offset), source, { bytes: Number(bytes) }),
  localise: () => store.localise(id),
};
try {
  tell({ result: await verbs[verb ?? '']?.() });
} catch (error) {
  const { name, message } = error as Error;
  const { code, retryAfterMs } = error as { code?: string; retryAfterMs?: number };
  tell({ error: { name, message, code, retryAfterMs } });
}
process.exit(0);

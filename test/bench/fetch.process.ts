/** Takes a file from a URL as often at once as it is told, throws it away, and tells its parent how long that took. */
import { get } from 'node:http';

interface Order {
  readonly url: string;
  readonly clients: number;
  readonly bytes: number;
}

/** @throws Error where it is not all that was expected. */
function take(url: string, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (incoming) => {
      let taken = 0;
      incoming.on('data', (chunk: Buffer) => (taken += chunk.length));
      incoming.once('end', () => {
        if (taken === bytes && incoming.statusCode === 200) resolve();
        else reject(new Error(`${incoming.statusCode}: ${taken} of ${bytes} bytes.`));
      });
      incoming.once('error', reject);
    }).once('error', reject);
  });
}

process.on('message', ({ url, clients, bytes }: Order) => {
  const from = performance.now();
  void Promise.all(Array.from({ length: clients }, () => take(url, bytes))).then(() =>
    process.send?.({ seconds: (performance.now() - from) / 1000 }),
  );
});
process.once('disconnect', () => process.exit());

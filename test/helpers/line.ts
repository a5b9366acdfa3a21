/** A line that breaks: passes what comes through to a server, and dies after so many bytes. */
import { createServer, connect, type AddressInfo } from 'node:net';
import { once } from 'node:events';

export interface Line {
  readonly origin: string;
  close(): void;
}

/**
 * @param bytes of each connection, from the client, before it breaks.
 * @param onBreak called as it breaks.
 */
export async function breakingLine(target: string, bytes: number, onBreak = (): void => {}): Promise<Line> {
  const { hostname, port } = new URL(target);
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    client.on('error', end).on('close', end);
    upstream.on('error', end).on('close', end);
    upstream.pipe(client);
    let passed = 0;
    client.on('data', (chunk: Buffer) => {
      passed += chunk.length;
      if (passed < bytes) {
        if (!upstream.write(chunk)) {
          client.pause();
          upstream.once('drain', () => client.resume());
        }
        return;
      }
      client.pause();
      upstream.write(chunk, () => {
        onBreak();
        end();
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => server.close(),
  };
}

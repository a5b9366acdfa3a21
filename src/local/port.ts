import { createServer } from 'node:net';
import { LocalError } from './local-error.ts';

/** Binds a port and lets it go; 0 binds a free one. Undefined: it is taken, or not allowed. */
async function bind(port: number, host: string): Promise<number | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined));
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : undefined));
    });
  });
}

/** A port that nobody listens on right now. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const port = await bind(0, host);
  if (port === undefined) throw new Error(`No free port on ${host}.`);
  return port;
}

/** The first port from `first` on that can be listened on, or undefined when `tries` of them are taken. */
async function portFrom(first: number, host: string, tries = 1): Promise<number | undefined> {
  for (let port = first; port < first + tries && port < 65_536; port++) {
    if ((await bind(port, host)) !== undefined) return port;
  }
  return undefined;
}

const tries = 100;

/**
 * The port that the api shall listen on: the wanted one, or, where nobody insisted on it, the next free one.
 * @throws LocalError when there is none.
 */
export async function choosePort(host: string, wanted: number, insists: boolean): Promise<number> {
  if (wanted === 0) return freePort(host);
  const port = await portFrom(wanted, host, insists ? 1 : tries);
  if (port !== undefined) return port;
  throw new LocalError(
    insists
      ? `PORT: cannot listen on ${host}:${wanted}; another program does already, or this address is not allowed here.`
      : `HOST: cannot listen on ${host}, ports ${wanted} to ${wanted + tries - 1}.`,
  );
}

/** Whether nobody listens there right now. */
export const isFree = async (host: string, port: number): Promise<boolean> =>
  (await bind(port, host)) !== undefined;

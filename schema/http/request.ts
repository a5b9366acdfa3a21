/** What every request has in common: who asks, from which page, and how it is refused. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Viewer } from '#src/access/access.ts';

const viewers = new WeakMap<IncomingMessage, { viewer: Viewer; requestId: string }>();

/** Remembers who a request comes from, for whatever handles it further on. */
export function identifyRequest(req: IncomingMessage, viewer: Viewer, requestId: string): void {
  viewers.set(req, { viewer, requestId });
}

/** @throws Error for a request that nobody identified: a fault of ours, never of the caller. */
export function identityOf(req: IncomingMessage): { viewer: Viewer; requestId: string } {
  const found = viewers.get(req);
  if (!found) throw new Error('The request was not identified.');
  return found;
}

const JSON_TYPE = 'application/json; charset=utf-8';

/** Answers with JSON. */
export function sendJson(
  res: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  res.writeHead(status, { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(text), ...headers });
  res.end(text);
}

/** How a request is refused, in the form of whatever is spoken. */
export type Refuse = (
  res: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers?: Record<string, string>,
) => void;

/** Refuses a request in GraphQL's form. */
export function refuse(
  res: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): void {
  sendJson(res, status, { errors: [{ message, extensions: { code } }] }, headers);
}

/**
 * The body as bytes, or undefined when there are more than `limit` (the request was answered with 413 then, and
 * what still comes is thrown away).
 */
export function readBody(
  req: IncomingMessage,
  res: ServerResponse,
  limit: number,
): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let refused = false;
    req.on('data', (chunk: Buffer) => {
      if (refused) return;
      bytes += chunk.length;
      if (bytes <= limit) {
        chunks.push(chunk);
        return;
      }
      refused = true;
      chunks.length = 0;
      refuse(res, 413, 'BODY_TOO_LARGE', `The body has more than ${limit} bytes (MAX_BODY_BYTES).`);
      cutOff(req);
      resolve(undefined);
    });
    req.on('end', () =>
      resolve(refused ? undefined : chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)),
    );
    req.on('error', reject);
    req.on('close', () => {
      if (!req.complete) reject(new Error('The request broke off.'));
    });
  });
}

/**
 * Ends an answer with a text of so many bytes in UTF-8. Where those are its characters it is ASCII, which node writes with
 * less work as Latin-1, together with the head.
 */
export function endWithText(res: ServerResponse, text: string, bytes: number): void {
  res.end(text, bytes === text.length ? 'latin1' : 'utf8');
}

const DRAIN_MS = 2_000;

/**
 * Lets a client that is still sending read its answer, then closes the connection. The answer must not say
 * `connection: close`: node would close the socket as soon as it is written, and what the client sends after that
 * resets the connection before the answer is read.
 */
export function cutOff(req: IncomingMessage): void {
  req.resume();
  if (req.complete) return;
  const timer = setTimeout(() => req.destroy(), DRAIN_MS).unref();
  req.once('close', () => clearTimeout(timer));
}

const loopbackNames = /^(localhost|127(\.\d{1,3}){3}|\[::1\]|::1)$/i;

/** Whether an address or host name means this machine only. */
export function isLoopback(host: string): boolean {
  return loopbackNames.test(host);
}

/** Host name without the port. */
function hostNameOf(host: string): string {
  return host.replace(/:\d+$/, '');
}

/**
 * Which page a request may come from: none (a program), one of this server, or one that ALLOWED_ORIGINS names.
 * Without that, any page in the browser of somebody on this machine could act as `local`.
 */
export function originVerdict(
  req: IncomingMessage,
  allowed: readonly string[],
): 'own' | 'allowed' | 'foreign' {
  const { origin, host } = req.headers;
  if (origin === undefined) return req.headers['sec-fetch-site'] === 'cross-site' ? 'foreign' : 'own';
  if (allowed.includes(origin)) return 'allowed';
  return URL.canParse(origin) && new URL(origin).host === host ? 'own' : 'foreign';
}

/** Whether a request without credentials may be `local`: it must name this machine, which a rebound DNS name does not. */
export function namesThisMachine({ host }: { host?: string | undefined }): boolean {
  return host !== undefined && isLoopback(hostNameOf(host));
}

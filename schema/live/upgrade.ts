/** Decides which requests for a WebSocket are let in. */
import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/**
 * Whether a page may connect. Browsers let any page open a WebSocket to any server, the one on this machine too,
 * so the page must come from the host it talks to. Clients that are not browsers send no Origin.
 */
export function isSameOrigin(request: IncomingMessage): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/** The path of a request, without its query; undefined where it makes no sense. */
export function pathOf(request: IncomingMessage): string | undefined {
  const url = request.url ?? '';
  return URL.canParse(url, 'http://host') ? new URL(url, 'http://host').pathname : undefined;
}

/** Answers a request for a WebSocket with an HTTP status and ends it. */
export function refuse(stream: Duplex, status: number): void {
  stream.once('finish', () => stream.destroy());
  stream.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

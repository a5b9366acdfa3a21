/**
 * Bare node:http: answers every request with the same bytes, once it is there whole. Arguments: where to listen (a port,
 * 0 for a free one, or a path), the answer, and how that is written (base64, or text). It tells its parent the port.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const [where = '0', answer = '', encoding = 'utf8'] = process.argv.slice(2);
const bytes = Buffer.from(answer, encoding as BufferEncoding);
const headers = { 'content-type': 'application/json; charset=utf-8', 'content-length': bytes.length };

const server = createServer((req, res) => {
  req.resume().on('end', () => res.writeHead(200, headers).end(bytes));
});
server.listen(/^\d+$/.test(where) ? { port: Number(where), host: '127.0.0.1' } : { path: where }, () => {
  const address = server.address() as AddressInfo | string;
  process.send?.({ port: typeof address === 'string' ? null : address.port });
});
process.once('disconnect', () => process.exit());

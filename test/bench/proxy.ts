/**
 * The limit of `predict`: a bare proxy. It takes a request whole, hands its bytes on over a Unix socket by a keep-alive
 * agent, and hands the answer's bytes back: what any program does at least that answers through another process.
 * Argument: the other's socket. It tells its parent the port.
 */
import { Agent, createServer, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

const [socketPath = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });

function whole(message: IncomingMessage, done: (body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  message.on('data', (chunk: Buffer) => chunks.push(chunk));
  message.on('end', () => done(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
}

const server = createServer((req, res) => {
  whole(req, (body) => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const onward = request({ agent, socketPath, path: '/', method: 'POST', headers }, (answer) => {
      whole(answer, (bytes) => {
        res.writeHead(answer.statusCode ?? 502, {
          'content-type': 'application/json; charset=utf-8',
          'content-length': bytes.length,
        });
        res.end(bytes);
      });
    });
    onward.on('error', () => res.destroy());
    onward.end(body);
  });
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.once('disconnect', () => process.exit());

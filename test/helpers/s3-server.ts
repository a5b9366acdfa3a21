/**
 * As much of S3's protocol as the artifact store speaks, in memory, with what makes S3 what it is: an object appears
 * whole or not at all, a part is checked against its checksum, all parts but the last hold 5 MiB. It can be made to fail.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';

interface Stored {
  readonly body: Buffer;
  readonly etag: string;
  readonly modifiedAt: Date;
}

interface Multipart {
  readonly key: string;
  readonly begunAt: Date;
  /** Begun with a checksum, which completing has to name for each part then. */
  readonly isChecked: boolean;
  readonly parts: Map<number, Stored & { readonly crc: string }>;
}

/** A request, as a fault may choose by it: `PUT staging/…`, and what stands behind the question mark. */
export interface S3Request {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
}

/** `fail`: 503. `break`: the connection ends in the middle of the answer. `drop`: before it. `hang`: no answer. */
export type Fault = 'fail' | 'break' | 'drop' | 'hang';

class Refusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

const MIN_PART_BYTES = 5 * 1024 ** 2;
const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
const unescaped = (text: string): string =>
  text.replaceAll('&quot;', '"').replaceAll('&#34;', '"').replaceAll('&lt;', '<').replaceAll('&amp;', '&');
const crcOf = (body: Buffer): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(body));
  return bytes.toString('base64');
};
const tag = (name: string, content: string | number): string => `<${name}>${content}</${name}>`;

export class S3Server {
  readonly bucket = 'models';
  readonly accessKeyId = 'key-of-a-test';
  readonly objects = new Map<string, Stored>();
  readonly uploads = new Map<string, Multipart>();
  /** Requests so far, such as `GET sha256/…`. */
  readonly log: string[] = [];
  /** Entries of one page of any list. */
  pageSize = 1000;
  /** What is to go wrong with a request, if anything. */
  fault: (request: S3Request) => Fault | undefined | Promise<Fault | undefined> = () => undefined;
  #server: Server | undefined;
  #port = 0;

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** On the same port as before, with what it had stored. */
  async start(): Promise<this> {
    const server = createServer((req, res) => void this.#answer(req, res));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
    return this;
  }

  async stop(): Promise<void> {
    if (!this.#server) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    this.#server = undefined;
    await closed;
  }

  /** Environment variables for a process that uses it. */
  environment(prefix = ''): Record<string, string> {
    return {
      ARTIFACT_STORE: `s3://${this.bucket}${prefix && `/${prefix}`}`,
      S3_ENDPOINT: this.endpoint,
      S3_FORCE_PATH_STYLE: 'true',
      AWS_ACCESS_KEY_ID: this.accessKeyId,
      AWS_SECRET_ACCESS_KEY: 'secret-of-a-test',
    };
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', this.endpoint);
    const [bucket, ...path] = url.pathname.slice(1).split('/').map(decodeURIComponent);
    const request = { method: req.method ?? '', key: path.join('/'), query: url.searchParams };
    this.log.push(`${request.method} ${request.key}${url.search}`);
    req.on('error', () => undefined);
    const fault = await this.fault(request);
    try {
      if (fault === 'drop') return void req.destroy();
      // What is cut off is not stored: its body never comes whole.
      const body = await buffer(req);
      if (fault === 'hang') return;
      if (fault === 'fail') throw new Refusal(503, 'SlowDown');
      if (!req.headers.authorization?.includes(`Credential=${this.accessKeyId}/`)) {
        throw new Refusal(403, 'InvalidAccessKeyId');
      }
      if (bucket !== this.bucket) throw new Refusal(404, 'NoSuchBucket');
      this.#route(request, req, body, res, fault === 'break');
    } catch (error) {
      if (!(error instanceof Refusal)) return void req.destroy();
      const xml = `<Error>${tag('Code', error.code)}${tag('Message', error.code)}</Error>`;
      res
        .writeHead(error.status, { 'content-type': 'application/xml' })
        .end(req.method === 'HEAD' ? '' : xml);
    }
  }

  #route(
    { method, key, query }: S3Request,
    req: IncomingMessage,
    body: Buffer,
    res: ServerResponse,
    breaks: boolean,
  ): void {
    const send = (xml = '', headers: Record<string, string> = {}): void =>
      void res.writeHead(200, { 'content-type': 'application/xml', ...headers }).end(xml);
    const uploadId = query.get('uploadId');
    if (key === '') {
      if (method === 'POST' && query.has('delete')) return send(this.#deleteAll(body));
      if (method === 'GET' && query.has('uploads')) return send(this.#listUploads(query));
      if (method === 'GET' && query.get('list-type') === '2') return send(this.#list(query));
    } else if (uploadId !== null) {
      const upload = this.uploads.get(uploadId);
      if (!upload || upload.key !== key) throw new Refusal(404, 'NoSuchUpload');
      if (method === 'PUT') {
        const part = this.#stored(this.#content(req, body));
        const crc = crcOf(part.body);
        upload.parts.set(Number(query.get('partNumber')), { ...part, crc });
        const copied = `<CopyPartResult>${tag('ETag', part.etag)}</CopyPartResult>`;
        return send(isCopy(req) ? copied : '', { etag: part.etag, 'x-amz-checksum-crc32': crc });
      }
      if (method === 'GET') return send(this.#listParts(upload, query));
      if (method === 'POST') return send(this.#complete(uploadId, upload, body.toString()));
      if (method === 'DELETE') {
        this.uploads.delete(uploadId);
        return void res.writeHead(204).end();
      }
    } else if (method === 'POST' && query.has('uploads')) {
      const id = randomUUID();
      const isChecked = req.headers['x-amz-checksum-algorithm'] === 'CRC32';
      this.uploads.set(id, { key, begunAt: new Date(), isChecked, parts: new Map() });
      return send(`<InitiateMultipartUploadResult>${tag('UploadId', id)}</InitiateMultipartUploadResult>`);
    } else if (method === 'PUT') {
      const stored = this.#stored(this.#content(req, body));
      this.objects.set(key, stored);
      return send(isCopy(req) ? `<CopyObjectResult>${tag('ETag', stored.etag)}</CopyObjectResult>` : '', {
        etag: stored.etag,
      });
    } else if (method === 'GET' || method === 'HEAD') {
      return this.#get(key, req, res, method === 'HEAD', breaks);
    }
    throw new Refusal(501, 'NotImplemented');
  }

  #stored(body: Buffer): Stored {
    return { body, etag: `"${randomUUID()}"`, modifiedAt: new Date() };
  }

  /** The bytes that a request brings, or names. */
  #content({ headers }: IncomingMessage, body: Buffer): Buffer {
    const source = headers['x-amz-copy-source'];
    if (typeof source === 'string') {
      const from = this.#found(decodeURIComponent(source).slice(this.bucket.length + 1));
      const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(String(headers['x-amz-copy-source-range'])) ?? [];
      return start === undefined ? from.body : from.body.subarray(Number(start), Number(end) + 1);
    }
    if (headers['content-encoding'] === 'aws-chunked') throw new Refusal(501, 'NotImplemented');
    if (Number(headers['content-length']) !== body.length) throw new Refusal(400, 'IncompleteBody');
    if (headers['x-amz-checksum-crc32'] !== crcOf(body)) throw new Refusal(400, 'BadDigest');
    return body;
  }

  #found(key: string): Stored {
    const found = this.objects.get(key);
    if (!found) throw new Refusal(404, 'NoSuchKey');
    return found;
  }

  #get(key: string, req: IncomingMessage, res: ServerResponse, isHead: boolean, breaks: boolean): void {
    const { body, etag, modifiedAt } = this.#found(key);
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    if (from !== undefined && start >= body.length) throw new Refusal(416, 'InvalidRange');
    const content = body.subarray(start, to ? Number(to) + 1 : undefined);
    res.writeHead(from === undefined ? 200 : 206, {
      'content-length': content.length,
      'last-modified': modifiedAt.toUTCString(),
      etag,
    });
    if (isHead) return void res.end();
    if (!breaks) return void res.end(content);
    res.write(content.subarray(0, Math.ceil(content.length / 2)), () => res.destroy());
  }

  #complete(id: string, upload: Multipart, xml: string): string {
    const numbers = [...xml.matchAll(/<PartNumber>(\d+)</g)].map(([, number]) => Number(number));
    const etags = [...xml.matchAll(/<ETag>([^<]+)</g)].map(([, etag]) => unescaped(etag ?? ''));
    const crcs = [...xml.matchAll(/<ChecksumCRC32>([^<]+)</g)].map(([, crc]) => crc);
    const parts = numbers.map((number, index) => {
      const part = upload.parts.get(number);
      const isNamed = part?.etag === etags[index] && (!upload.isChecked || part?.crc === crcs[index]);
      if (!part || !isNamed) throw new Refusal(400, 'InvalidPart');
      if (index > 0 && number <= (numbers[index - 1] ?? 0)) throw new Refusal(400, 'InvalidPartOrder');
      if (index < numbers.length - 1 && part.body.length < MIN_PART_BYTES)
        throw new Refusal(400, 'EntityTooSmall');
      return part.body;
    });
    if (parts.length === 0) throw new Refusal(400, 'MalformedXML');
    this.objects.set(upload.key, this.#stored(Buffer.concat(parts)));
    this.uploads.delete(id);
    return `<CompleteMultipartUploadResult>${tag('Key', escaped(upload.key))}</CompleteMultipartUploadResult>`;
  }

  #deleteAll(body: Buffer): string {
    const keys = [...body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => unescaped(key ?? ''));
    if (keys.length > 1000) throw new Refusal(400, 'MalformedXML');
    for (const key of keys) this.objects.delete(key);
    return '<DeleteResult></DeleteResult>';
  }

  /** One page of what comes behind `after`. */
  #page<T>(
    items: readonly T[],
    nameOf: (item: T) => string,
    after: string | null,
  ): { page: T[]; next: string } {
    const sorted = items.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
    const left = sorted.filter((item) => after === null || nameOf(item) > after);
    const page = left.slice(0, this.pageSize);
    return { page, next: left.length > page.length ? nameOf(page.at(-1) as T) : '' };
  }

  #list(query: URLSearchParams): string {
    const found = [...this.objects].filter(([key]) => key.startsWith(query.get('prefix') ?? ''));
    const { page, next } = this.#page(found, ([key]) => key, query.get('continuation-token'));
    const contents = page.map(([key, { body, modifiedAt }]) =>
      tag(
        'Contents',
        tag('Key', escaped(key)) + tag('Size', body.length) + tag('LastModified', modifiedAt.toISOString()),
      ),
    );
    const more = next && tag('NextContinuationToken', escaped(next));
    return `<ListBucketResult>${tag('IsTruncated', String(next !== ''))}${more}${contents.join('')}</ListBucketResult>`;
  }

  #listUploads(query: URLSearchParams): string {
    const found = [...this.uploads].filter(([, { key }]) => key.startsWith(query.get('prefix') ?? ''));
    const { page, next } = this.#page(found, ([id]) => id, query.get('upload-id-marker'));
    const uploads = page.map(([id, { key, begunAt }]) =>
      tag('Upload', tag('Key', escaped(key)) + tag('UploadId', id) + tag('Initiated', begunAt.toISOString())),
    );
    const more = next && tag('NextKeyMarker', 'any') + tag('NextUploadIdMarker', next);
    return `<ListMultipartUploadsResult>${tag('IsTruncated', String(next !== ''))}${more}${uploads.join('')}</ListMultipartUploadsResult>`;
  }

  #listParts({ parts }: Multipart, query: URLSearchParams): string {
    const after = Number(query.get('part-number-marker') ?? 0);
    const left = [...parts].filter(([number]) => number > after).toSorted(([a], [b]) => a - b);
    const page = left.slice(0, this.pageSize);
    const listed = page.map(([number, { body, etag, crc }]) =>
      tag(
        'Part',
        tag('PartNumber', number) +
          tag('Size', body.length) +
          tag('ETag', escaped(etag)) +
          tag('ChecksumCRC32', crc),
      ),
    );
    const isTruncated = left.length > page.length;
    const more = isTruncated ? tag('NextPartNumberMarker', page.at(-1)?.[0] ?? 0) : '';
    return `<ListPartsResult>${tag('IsTruncated', String(isTruncated))}${more}${listed.join('')}</ListPartsResult>`;
  }
}

const isCopy = (req: IncomingMessage): boolean => 'x-amz-copy-source' in req.headers;

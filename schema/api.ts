/** The api: one HTTP server with GraphQL over HTTP, multipart, SSE and WebSocket, GraphiQL and health. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openPlatform, quietly } from '#src/app.ts';
import { local, type Viewer } from '#src/access/access.ts';
import { openAuthenticator } from '#src/access/token.ts';
import { RouteTable } from '#src/deployment/routing.ts';
import { openChangeFeed } from '#src/events.ts';
import { openLedgerTails } from '#src/ledger/tail.ts';
import { openLiveMetrics } from '#src/metric/live.ts';
import { openRecorder } from '#src/metric/recorder.ts';
import type { Config } from '#src/platform/config.ts';
import { newId } from '#src/platform/id.ts';
import type { Logger } from '#src/platform/logger.ts';
import { openRedis } from '#src/platform/redis.ts';
import { IdempotentPredictor } from '#src/prediction/idempotency.ts';
import { openPredictionLog } from '#src/prediction/log.ts';
import { Predictor } from '#src/prediction/prediction.ts';
import type { Services } from './context.ts';
import { openExecution, type Execution } from './execution.ts';
import { fastPath } from './http/fast-path.ts';
import { renderPage, sendPage, wantsPage } from './http/graphiql.ts';
import { sendReadiness } from './http/health.ts';
import { inference } from './http/inference.ts';
import { INFERENCE } from './http/inference-path.ts';
import { refuseInference } from './http/inference-refusal.ts';
import { multipart } from './http/multipart.ts';
import {
  identifyRequest,
  type Refuse,
  isLoopback,
  namesThisMachine,
  originVerdict,
  refuse,
  sendJson,
} from './http/request.ts';
import { downloads } from './http/download.ts';
import { UPLOADS, VERSIONS } from './http/paths.ts';
import { unexpected } from './http/refusal.ts';
import { uploads } from './http/uploads.ts';
import { openLiveDoor } from './live/door.ts';

export interface Api {
  /** Origin that it answers under, such as `http://127.0.0.1:4000`. */
  readonly url: string;
  /** Takes no new connection, finishes what is in flight, tells subscribers to come back later. */
  close(): Promise<void>;
}

/** @throws Error when the address is not loopback and access is not configured. */
function checkAddress(config: Config): void {
  if (config.ADMIN_TOKEN_FILE || isLoopback(config.HOST)) return;
  throw new Error(
    `HOST is ${config.HOST}, which others can reach, and access is not configured. ` +
      'Set ADMIN_TOKEN_FILE to a file with a token of at least 32 characters (openssl rand -base64 32 > admin-token), ' +
      'or listen on 127.0.0.1.',
  );
}

/** Opens everything and listens. */
export async function openApi(config: Config, logger: Logger): Promise<Api> {
  checkAddress(config);
  const { platform, close: closePlatform } = await openPlatform(config, logger);
  const redisOptions = { url: config.REDIS_URL, prefix: config.REDIS_PREFIX, logger };
  const feed = openChangeFeed(redisOptions);
  const live = openLiveMetrics(redisOptions);
  const tails = openLedgerTails({ db: platform.db, feed, logger });
  const metricsRedis = openRedis({
    url: config.REDIS_URL,
    mode: 'fast',
    onError: quietly(logger, 'metrics'),
  });
  const recorder = openRecorder({ redis: metricsRedis, prefix: config.REDIS_PREFIX, logger });
  const routes = new RouteTable(platform, feed);
  await routes.load(null);
  const authenticator = openAuthenticator(platform);
  const log = openPredictionLog(platform, config);
  const asked = new Predictor(routes, recorder, log, config);
  const predictor = new IdempotentPredictor(platform, asked);
  const services: Services = { platform, authenticator, predictor, live, tails, feed };
  const execution = openExecution(services, renderPage);
  const server = createServer({ keepAliveTimeout: 65_000, requestTimeout: 0 }, handler(services, execution));
  const door = openLiveDoor(server, services, execution);
  const stopWatching = feed.watchAll('token', (id) => {
    authenticator.forget(id);
    void door.recheck();
  });
  await listen(server, config);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${config.HOST.includes(':') ? `[${config.HOST}]` : config.HOST}:${port}`,
    close: async () => {
      stopWatching();
      await Promise.all([closeServer(server), door.close()]);
      asked.close();
      await recorder.close();
      await log.close();
      await live.close();
      await tails.close();
      feed.close();
      await routes.close();
      metricsRedis.disconnect();
      await closePlatform();
    },
  };
}

const FINISH_MS = 10_000;

/** Waits for what is in flight; what has no end of its own (an event stream, a slow upload) is cut off after 10 s. */
async function closeServer(server: Server): Promise<void> {
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const late = setTimeout(() => server.closeAllConnections(), FINISH_MS);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  clearInterval(idle);
  clearTimeout(late);
}

function listen(server: Server, config: Config): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.PORT, config.HOST, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

type Handler = (req: IncomingMessage, res: ServerResponse) => void;

function handler(services: Services, execution: Execution): Handler {
  const { platform, authenticator } = services;
  const { config, logger } = platform;
  const json = fastPath(execution, config.MAX_BODY_BYTES, logger);
  const receive = uploads(platform);
  const form = multipart(execution, { bodyBytes: config.MAX_BODY_BYTES, files: config.MAX_FILES }, logger);

  /** Who asks; undefined for those who are not let in, who have been told so. */
  async function admit(
    req: IncomingMessage,
    res: ServerResponse,
    tell: Refuse = refuse,
  ): Promise<Viewer | undefined> {
    const viewer = await authenticator.authenticate(req.headers.authorization);
    if (!viewer) {
      unauthenticated(res, tell);
      return undefined;
    }
    if (viewer.kind === 'USER' && req.headers.authorization === undefined && !namesThisMachine(req.headers)) {
      tell(res, 403, 'FOREIGN_HOST', 'Without a token the api answers only under the name of this machine.');
      return undefined;
    }
    return viewer;
  }

  /** Whether a page may ask; it has been told where not. */
  function mayAsk(req: IncomingMessage, res: ServerResponse, tell: Refuse = refuse): boolean {
    const verdict = originVerdict(req, config.ALLOWED_ORIGINS);
    if (verdict === 'allowed') allowOrigin(req, res);
    if (verdict !== 'foreign') return true;
    tell(
      res,
      403,
      'FOREIGN_ORIGIN',
      'Pages of this origin may not use the api; ALLOWED_ORIGINS names those that may.',
    );
    return false;
  }

  async function graphql(req: IncomingMessage, res: ServerResponse, search: string): Promise<void> {
    if (wantsPage(req, search)) return sendPage(req, res);
    if (!mayAsk(req, res)) return;
    if (req.method === 'OPTIONS') {
      res.writeHead(204).end();
      return;
    }
    const viewer = await admit(req, res);
    if (!viewer) return;
    const requestId = newId();
    identifyRequest(req, viewer, requestId);
    res.setHeader('x-request-id', requestId);
    if (req.method !== 'POST') {
      await execution.yoga(req, res);
      return;
    }
    return /^multipart\/form-data/i.test(req.headers['content-type'] ?? '') ? form(req, res) : json(req, res);
  }

  async function upload(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (!mayAsk(req, res)) return;
    // A preflight has no credentials.
    const viewer = req.method === 'OPTIONS' ? local : await admit(req, res);
    if (viewer) await receive(req, res, viewer);
  }

  const inProtocol: Refuse = (res, status, _code, message, headers) =>
    refuseInference(res, status, message, headers);
  const infer = inference(platform, services.predictor, (req, res) => admit(req, res, inProtocol));

  async function inferenceV2(req: IncomingMessage, res: ServerResponse, path: string): Promise<void> {
    if (!mayAsk(req, res, inProtocol)) return;
    if (req.method !== 'OPTIONS') return infer(req, res, path);
    res.writeHead(204).end();
  }

  const sendDownload = downloads(platform, async (req, res) =>
    mayAsk(req, res) ? admit(req, res) : undefined,
  );

  async function download(req: IncomingMessage, res: ServerResponse, url: string): Promise<void> {
    if (req.method === 'OPTIONS') {
      if (mayAsk(req, res)) res.writeHead(204).end();
      return;
    }
    // A link is followed from anywhere; what it gives is read by pages that may ask.
    if (originVerdict(req, config.ALLOWED_ORIGINS) === 'allowed') allowOrigin(req, res);
    return sendDownload(req, res, new URL(url, 'http://localhost'));
  }

  return (req, res) => {
    const url = req.url ?? '/';
    const question = url.indexOf('?');
    const path = question === -1 ? url : url.slice(0, question);
    const work =
      path === INFERENCE || path.startsWith(`${INFERENCE}/`)
        ? inferenceV2(req, res, path)
        : path === '/graphql'
          ? graphql(req, res, question === -1 ? '' : url.slice(question))
          : path === '/health/ready'
            ? sendReadiness(res, platform)
            : path === UPLOADS || path.startsWith(`${UPLOADS}/`)
              ? upload(req, res)
              : path.startsWith(`${VERSIONS}/`)
                ? download(req, res, url)
                : other(path, res);
    work.catch((error: unknown) => failed(error, req, res, logger));
  };
}

async function other(path: string, res: ServerResponse): Promise<void> {
  if (path === '/health/live') return sendJson(res, 200, { live: true });
  if (path === '/') {
    res.writeHead(302, { location: '/graphql' }).end();
    return;
  }
  refuse(
    res,
    404,
    'NOT_FOUND',
    'There is /graphql, /v2, /uploads, /versions, /health/live and /health/ready.',
  );
}

function allowOrigin(req: IncomingMessage, res: ServerResponse): void {
  res.setHeader('access-control-allow-origin', String(req.headers.origin));
  res.setHeader('vary', 'origin');
  res.setHeader(
    'access-control-expose-headers',
    'content-disposition, content-range, etag, inference-header-content-length, repr-digest, retry-after, x-request-id',
  );
  if (req.method !== 'OPTIONS') return;
  res.setHeader('access-control-allow-methods', 'GET, POST');
  res.setHeader(
    'access-control-allow-headers',
    'authorization, content-type, inference-header-content-length, range, if-range',
  );
  res.setHeader('access-control-max-age', '600');
}

function unauthenticated(res: ServerResponse, tell: Refuse): void {
  tell(res, 401, 'UNAUTHENTICATED', 'This needs a token that works: send `Authorization: Bearer <token>`.', {
    'www-authenticate': 'Bearer',
  });
}

function failed(error: unknown, req: IncomingMessage, res: ServerResponse, logger: Logger): void {
  if (req.destroyed && !req.complete) return;
  const { status, code, message } = unexpected(error, logger);
  if (res.headersSent) res.destroy();
  else refuse(res, status, code, message);
}

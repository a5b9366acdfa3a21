/** GraphiQL with everything it needs in one page: it works without internet. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import { tour } from '../tour.ts';

/** Forgets the tabs, so that GraphiQL opens those of the tour, and takes `?tour` out of the address. */
const restore = `<script>
  if (new URLSearchParams(location.search).has('tour')) {
    for (const key of Object.keys(localStorage)) if (key.startsWith('graphiql:')) localStorage.removeItem(key);
    history.replaceState(null, '', location.pathname);
  }
</script>`;
const link = `<a href="?tour" title="Opens the tabs of the tour again; your own are closed"
  style="position:fixed;left:72px;bottom:2px;z-index:10;font:13px system-ui;color:#6b7280">Bring the tour back</a>`;

/** The page. */
export function renderPage(): string {
  const page = renderGraphiQL({
    title: 'Modelarium',
    endpoint: '/graphql',
    subscriptionsProtocol: 'WS',
    defaultTabs: tour().map(({ query, variables }) => ({ query, variables: variables ?? '', headers: '' })),
    defaultEditorToolsVisibility: 'variables',
    shouldPersistHeaders: false,
    inputValueDeprecation: true,
    schemaDescription: true,
  });
  return page
    .replace('<body id="body" class="no-focus-outline">', (body) => `${body}${restore}`)
    .replace('<div id="root"></div>', (root) => `${root}${link}`);
}

const compress = promisify(gzip);
let compressed: Promise<Buffer> | undefined;
let plain: string | undefined;

/** Whether a browser asks for the page. */
export function wantsPage(req: IncomingMessage, search: string): boolean {
  const accepts = req.headers.accept ?? '';
  return req.method === 'GET' && accepts.includes('text/html') && !/[?&]query=/.test(search);
}

/** Answers with the page, made and compressed once. */
export async function sendPage(req: IncomingMessage, res: ServerResponse): Promise<void> {
  plain ??= renderPage();
  const headers = {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-cache',
    'x-frame-options': 'DENY',
    vary: 'accept-encoding',
  };
  if (!/\bgzip\b/.test(req.headers['accept-encoding']?.toString() ?? '')) {
    res.writeHead(200, headers).end(plain);
    return;
  }
  compressed ??= compress(plain, { level: 6 });
  res.writeHead(200, { ...headers, 'content-encoding': 'gzip' }).end(await compressed);
}

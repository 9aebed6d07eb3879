/**
 * The files of the page, read once and kept: only what was there then is served, so no path leads anywhere else. Every other path below
 * the base is an address of a view, and gives the page itself.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';

export interface StaticPage {
  /** `path` below the base, with a slash first. Null: there is no page here. */
  answer(path: string, header: (name: string) => string | null): Promise<Response | null>;
}

interface PageFile {
  readonly type: string;
  readonly etag: string;
  readonly immutable: boolean;
  /** Packed when it is asked for first, beside the event loop. */
  readonly body: (encoding: Encoding) => Promise<Uint8Array<ArrayBuffer>>;
}

type Encoding = 'br' | 'gzip' | 'identity';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};
/** Of names that the build makes from the content: what stands under such a name never changes. */
const HASHED = /^\/assets\/.*[-.][\w-]{8,}\.\w+$/;

/** By their path, without a slash first: `index.html`, `assets/index.js`. */
export type PageFiles = ReadonlyMap<string, string | Buffer>;

/** Null for what is none: it has no index.html. */
export function pageOfFolder(folder: string): PageFiles | null {
  if (!existsSync(join(folder, 'index.html'))) return null;
  return new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [relative(folder, path).replaceAll('\\', '/'), readFileSync(path)]),
  );
}

export function createStaticPage(page: PageFiles | null, basePath: string): StaticPage | null {
  if (page === null) return null;
  const files = new Map<string, PageFile>();
  for (const [path, content] of page) {
    const type = TYPES[extname(path)];
    // What is of no known type is none of the page's: a map of sources, what an editor left.
    if (type === undefined) continue;
    const served = path === 'index.html' ? withBase(content.toString('utf8'), basePath) : content;
    files.set(`/${path}`, pageFile(Buffer.from(served), type, HASHED.test(`/${path}`)));
  }
  return {
    async answer(path, header) {
      const file = files.get(path);
      if (file !== undefined && path !== '/index.html') return respond(file, header);
      // A file that is gone, after a deployment say, must not look like a page.
      if (TYPES[extname(path)] !== undefined && path.startsWith('/assets/')) return null;
      const index = files.get('/index.html');
      return index === undefined ? null : respond(index, header);
    },
  };
}

/** The base path as `<base>`, so that the page works below any path without being built for it. Pure. */
function withBase(html: string, basePath: string): string {
  const tag = `<base href="${basePath}/">`;
  const without = html.replace(/<base\b[^>]*>/i, '');
  return without.replace(/<head\b[^>]*>/i, (head) => `${head}${tag}`);
}

const PACK: Readonly<Record<Encoding, (content: Buffer) => Promise<Buffer>>> = {
  br: promisify<Buffer, Buffer>(brotliCompress),
  gzip: promisify<Buffer, Buffer>(gzip),
  identity: (content) => Promise.resolve(content),
};

function pageFile(content: Buffer, type: string, immutable: boolean): PageFile {
  const bodies = new Map<Encoding, Promise<Uint8Array<ArrayBuffer>>>();
  return {
    type,
    immutable,
    etag: `"${createHash('sha256').update(content).digest('base64url').slice(0, 27)}"`,
    body(encoding) {
      const packed = bodies.get(encoding) ?? PACK[encoding](content).then((bytes) => new Uint8Array(bytes));
      bodies.set(encoding, packed);
      return packed;
    },
  };
}

async function respond(
  { type, etag, immutable, body }: PageFile,
  header: (name: string) => string | null,
): Promise<Response> {
  const headers = {
    'content-type': type,
    'cache-control': immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    etag,
    vary: 'accept-encoding',
  };
  if ((header('if-none-match') ?? '').includes(etag)) return new Response(null, { status: 304, headers });
  const encoding = encodingFor(header('accept-encoding') ?? '');
  return new Response(await body(encoding), {
    headers: encoding === 'identity' ? headers : { ...headers, 'content-encoding': encoding },
  });
}

function encodingFor(accepted: string): Encoding {
  const names = accepted.split(',').map((part) => ACCEPTED.exec(part)?.[1]);
  const taken = new Set(names);
  return taken.has('br') ? 'br' : taken.has('gzip') ? 'gzip' : 'identity';
}

/** One that is taken at all: not with the weight 0. */
const ACCEPTED = /^\s*([a-z]+)\s*(?:;\s*q=(?!0(?:\.0*)?\s*$)[\d.]+\s*)?$/i;

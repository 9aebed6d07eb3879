/**
 * The files of the page, read once and kept: only what was there then is served, so no path leads anywhere else. Every other path below
 * the base is an address of a view, and gives the page itself.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
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

/** Null without a folder, and for one without an index.html. */
export function createStaticPage(folder: string | null, basePath: string): StaticPage | null {
  if (folder === null || !existsSync(join(folder, 'index.html'))) return null;
  const files = new Map<string, PageFile>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const type = TYPES[extname(entry.name)];
    // What is of no known type is none of the page's: a map of sources, what an editor left.
    if (!entry.isFile() || type === undefined) continue;
    const name = `/${relative(folder, path).replaceAll('\\', '/')}`;
    const content = name === '/index.html' ? withBase(readFileSync(path, 'utf8'), basePath) : readFileSync(path);
    files.set(name, pageFile(Buffer.from(content), type, HASHED.test(name)));
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

/** Where the page is built to: beside this in the package, or where a work tree of Holdfast builds it. */
export function findPageFolder(): string | null {
  const places = ['../page/', '../../../dist/dashboard/page/', '../../../node_modules/.cache/holdfast/page/'];
  const folders = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  // The sources of the page have an index.html, too.
  return folders.find((folder) => existsSync(join(folder, 'index.html')) && existsSync(join(folder, 'assets'))) ?? null;
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

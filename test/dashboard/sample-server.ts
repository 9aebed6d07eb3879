/**
 * Serves the built page and the answers of sample-pages.ts, under a base path as behind a proxy, with the headers of the real server.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { SECURITY_HEADERS } from '../../src/dashboard/server/guards.ts';
import { answerOf, SESSION } from './sample-pages.ts';

export const BASE = '/ops/';

export interface SentAct {
  readonly path: string;
  readonly body: unknown;
  readonly headers: IncomingMessage['headers'];
}

export interface SampleServer {
  /** With the base path. */
  readonly url: string;
  readonly origin: string;
  /** What the page has sent. */
  readonly acts: SentAct[];
  /** How many listen to /api/live. */
  readonly listeners: Set<ServerResponse>;
  /** What is answered instead. */
  readonly overrides: Map<string, { readonly status: number; readonly body: unknown }>;
  close(): Promise<void>;
}

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.html': 'text/html; charset=utf-8',
};

export async function startSampleServer(folder: string): Promise<SampleServer> {
  const acts: SentAct[] = [];
  const listeners = new Set<ServerResponse>();
  const overrides: SampleServer['overrides'] = new Map();
  const send = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const server = createServer((request, response) => {
    void (async () => {
      for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
      const url = new URL(request.url ?? '/', 'http://local');
      const path = url.pathname.startsWith(BASE) ? url.pathname.slice(BASE.length) : '';
      const given = overrides.get(path);
      if (given !== undefined) return send(response, given.status, given.body);
      if (request.method === 'POST') {
        let text = '';
        for await (const chunk of request) text += String(chunk);
        acts.push({
          path,
          body: text.startsWith('{') ? (JSON.parse(text) as unknown) : text,
          headers: request.headers,
        });
        return send(response, 200, { accepted: {}, command: 'holdfast saga retry …' });
      }
      if (path === 'api/session') return send(response, 200, SESSION);
      if (path === 'api/live') {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(`event: overview\ndata: ${JSON.stringify(answerOf('overview', url.searchParams))}\n\n`);
        listeners.add(response);
        response.on('close', () => listeners.delete(response));
        return;
      }
      if (path.startsWith('api/')) {
        const answer = answerOf(path.slice(4), url.searchParams);
        if (answer !== undefined) return send(response, 200, answer);
        return send(response, 404, { code: 'HF_NOT_FOUND', message: 'It is not there.', advice: 'Look elsewhere.' });
      }
      const file = extname(path) === '' ? 'index.html' : path;
      let content = readFileSync(join(folder, file));
      if (file === 'index.html')
        content = Buffer.from(String(content).replace('<head>', `<head><base href="${BASE}">`));
      response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'text/plain' }).end(content);
    })().catch(() => response.writeHead(404).end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    url: origin + BASE,
    acts,
    listeners,
    overrides,
    async close() {
      for (const each of listeners) each.destroy();
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

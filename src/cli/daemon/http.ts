/**
 * The daemon's pages for probes and Prometheus: /livez, /readyz, /metrics. They show names and numbers, never payloads.
 */
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import { listen } from '../../runtime/listen.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import type { Service } from '../../runtime/service.ts';
import type { ProbeAnswer } from '../../operations/health/judgements.ts';

export interface Pages {
  /** What answers. */
  readonly name: string;
  live(): Promise<ProbeAnswer>;
  ready(): Promise<ProbeAnswer>;
  /** Text in Prometheus' format, and its content type. */
  metrics(): Promise<{ readonly text: string; readonly contentType: string }>;
}

export function createPages(pages: Pages, log: Logger): Hono {
  const app = new Hono();
  app.get('/livez', async (context) => {
    const { ok, body } = await pages.live();
    return context.json(body, ok ? 200 : 503);
  });
  app.get('/readyz', async (context) => {
    const { ok, body } = await pages.ready();
    return context.json(body, ok ? 200 : 503);
  });
  app.get('/metrics', async (context) => {
    const { text, contentType } = await pages.metrics();
    return context.body(text, 200, { 'content-type': contentType });
  });
  app.get('/', (context) => context.text(`${pages.name}: /livez /readyz /metrics\n`));
  app.onError((error, context) => {
    log.error({ err: error, path: context.req.path }, 'a page failed');
    return context.json({ status: 'failed' }, 500);
  });
  return app;
}

export interface HttpOptions {
  readonly app: Hono;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly log: Logger;
}

/** `start` rejects with HF_CONFIG when the address cannot be had. */
export function createHttpServer({ app, host, port, log }: HttpOptions): Service {
  const { start, stop } = createLifecycle({
    make: () => createAdaptorServer({ fetch: app.fetch }),
    async start(server) {
      const url = await listen(server, {
        host,
        port,
        advice: 'Choose another --http-port (0: any free one), or --no-http.',
        onError: (error) => log.warn({ err: error }, 'the HTTP server has trouble'),
      });
      log.info({ url, pages: ['/livez', '/readyz', '/metrics'] }, 'listening');
    },
    async stop(server) {
      if (!server.listening) return;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        if ('closeAllConnections' in server) server.closeAllConnections();
      });
    },
  });
  return { start, stop };
}

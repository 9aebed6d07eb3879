/**
 * The HTTP server of `holdfast dashboard`: with limits, so that requests that are slow, large or never end cost nothing.
 */
import { createServer, type RequestListener } from 'node:http';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import { listen } from '../../runtime/listen.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Service } from '../../runtime/service.ts';

export interface DashboardServerOptions {
  readonly handler: RequestListener;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly basePath: string;
  readonly log: Logger;
  /** Other limits than those below, in milliseconds: for tests that will not wait so long. */
  readonly limits?: Partial<typeof LIMITS>;
}

const LIMITS = {
  maxHeaderSize: 16_384,
  /** For the headers, and for the request as a whole; an answer may take longer. */
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  keepAliveTimeout: 10_000,
  connectionsCheckingInterval: 5_000,
};
const MOST_CONNECTIONS = 1_000;
/** A connection on which nothing moves is cut. Events come far more often. */
const SILENCE_MS = 120_000;
/** For what is under way at a stop, in milliseconds. */
const GRACE_MS = 1_000;

/** `start` rejects with HF_CONFIG when the address cannot be had. */
export function createDashboardServer(options: DashboardServerOptions): Service {
  const { handler, host, port, basePath, log, limits } = options;
  const { start, stop } = createLifecycle({
    make: () => {
      const server = createServer({ ...LIMITS, ...limits }, handler);
      server.maxConnections = MOST_CONNECTIONS;
      server.setTimeout(SILENCE_MS);
      return server;
    },
    async start(server) {
      const url = await listen(server, {
        host,
        port,
        advice: 'Choose another --port (0: any free one).',
        onError: (error) => log.warn({ err: error }, 'the HTTP server has trouble'),
      });
      log.info({ url: `${url}${basePath}/` }, 'listening');
    },
    async stop(server) {
      if (!server.listening) return;
      await new Promise<void>((resolve) => {
        // Pages that are open go on for ever; what else is under way is done by then.
        const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS);
        server.close(() => {
          clearTimeout(cut);
          resolve();
        });
        server.closeIdleConnections();
      });
    },
  });
  return { start, stop };
}

/**
 * The dashboard of the demo. Each service has a database of its own, and so a dashboard of its own, each below its name: that of orders
 * has the sagas and what people did about them. Only this machine can reach it.
 */
import { execFile } from 'node:child_process';
import { createServer, type RequestListener } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { listen } from '../src/runtime/listen.ts';
import type { Databases } from './audit/books.ts';
import type { Broker } from './broker.ts';
import { placeOrder } from './saga.ts';
import { SERVICE_NAMES, type ServiceName } from './world.ts';

export interface DemoDashboard {
  /** Of one service, with a slash at the end. */
  urlOf(name: ServiceName): string;
  close(): Promise<void>;
}

export interface DemoDashboardOptions {
  readonly databases: Databases;
  readonly broker: Broker;
  /** 0: any free one. */
  readonly port: number;
  /** What buildPage has said. */
  readonly pageFolder: Promise<string>;
}

/** Builds the page, unless it is there as its sources are now. A process of its own: it takes some seconds of a processor. */
export function buildPage(): Promise<string> {
  const program = fileURLToPath(new URL('../.ci/page.mjs', import.meta.url));
  const folder = promisify(execFile)(process.execPath, [program, '--cached']).then(({ stdout }) => stdout.trim());
  // Whoever waits for it is told; until then it is nobody's failure.
  folder.catch(() => undefined);
  return folder;
}

/** Rejects when the page cannot be built or the address cannot be had. */
export async function openDashboard(options: DemoDashboardOptions): Promise<DemoDashboard> {
  const { databases, broker, port } = options;
  const [{ createDashboard }, pageFolder] = await Promise.all([
    import('../src/dashboard/dashboard.ts'),
    options.pageFolder,
  ]);
  const dashboards = new Map(
    SERVICE_NAMES.map((name) => [
      name as string,
      createDashboard({
        database: databases[name],
        basePath: `/${name}`,
        anonymous: 'admin',
        pageFolder,
        ...(name === 'orders' ? { sagas: [placeOrder] } : {}),
        ...(broker.kind === 'redis' ? { doctor: { redisUrls: [broker.url] } } : {}),
      }),
    ]),
  );
  const answer: RequestListener = (request, response) => {
    const [, first = ''] = (request.url ?? '').split(/[/?#]/);
    const found = dashboards.get(first);
    if (found !== undefined) return found.nodeHandler(request, response);
    if (first === '') response.writeHead(302, { location: '/orders/' });
    else response.writeHead(404);
    response.end();
  };
  const server = createServer(answer);
  const origin = await listen(server, {
    host: '127.0.0.1',
    port,
    advice: 'Choose another --port.',
    onError: () => undefined,
  });
  return {
    urlOf: (name) => `${origin}/${name}/`,
    async close() {
      server.close();
      server.closeAllConnections();
      await Promise.all([...dashboards.values()].map((each) => each.close()));
    },
  };
}

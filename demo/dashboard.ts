/**
 * The dashboard of the demo: one page over the databases of all four services. That of orders has the sagas and what people did about them.
 * Only this machine can reach it.
 */
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { listen } from '../src/runtime/listen.ts';
import type { Databases } from './audit/books.ts';
import { openTransport, type Broker } from './broker.ts';
import { hurriedOrder } from './saga.ts';
import { SERVICE_NAMES, type ServiceName } from './world.ts';

export interface DemoDashboard {
  /** Of all databases, with a slash at the end. */
  readonly url: string;
  /** Of that of one service, with a slash at the end. */
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
  const transport = broker.kind === 'postgres' ? null : openTransport(broker, () => {});
  const dashboard = createDashboard({
    databases: Object.fromEntries(SERVICE_NAMES.map((name) => [name, databases[name]])),
    anonymous: 'admin',
    pageFolder,
    sagas: [hurriedOrder({})],
    ...(transport === null ? {} : { doctor: { transports: [transport] } }),
  });
  const server = createServer(dashboard.nodeHandler);
  const origin = await listen(server, {
    host: '127.0.0.1',
    port,
    advice: 'Choose another --port.',
    onError: () => undefined,
  });
  return {
    url: `${origin}/`,
    urlOf: (name) => `${origin}/db/${name}/`,
    async close() {
      server.close();
      server.closeAllConnections();
      await dashboard.close();
      await transport?.close();
    },
  };
}

/**
 * The dashboard that dashboard-cost.ts measures, and the pages that look at it: in a process of their own, as `holdfast dashboard` is. argv:
 * database URL. Does what it is told, and answers with the number of statements that it has sent.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { createDashboard } from '../src/dashboard/dashboard.ts';
import { openDatabase } from '../src/postgres/database.ts';

export interface DashboardOrder {
  /** So many are to be open. Undefined: as many as are. */
  readonly pages?: number;
}

export interface DashboardNews {
  readonly statements: number;
}

/** Of the page: a list is read again so often, by the server's clock. */
const LIST_MS = 5_000;

const [url = ''] = process.argv.slice(2);
let statements = 0;
countStatements();
const dashboard = createDashboard({ database: openDatabase({ url }), anonymous: 'viewer' });
const server = createServer(dashboard.nodeHandler);
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const address = `http://localhost:${(server.address() as AddressInfo).port}`;
const pages: (() => void)[] = [];

process.on('message', ({ pages: wanted = pages.length }: DashboardOrder) => {
  void (async () => {
    for (const close of pages.splice(wanted)) close();
    const opened = await Promise.all(Array.from({ length: wanted - pages.length }, openPage));
    pages.push(...opened);
    tell();
  })();
});
tell();

function tell(): void {
  process.send?.({ statements } satisfies DashboardNews);
}

/** The page of the messages: it hears the overview, and reads its list now and then. Resolves once it has heard something. */
async function openPage(): Promise<() => void> {
  const gone = new AbortController();
  const live = await fetch(`${address}/api/live`, { signal: gone.signal });
  await new Promise<void>((resolve) => {
    listen(live, gone.signal, resolve).catch((error: unknown) => {
      if (!gone.signal.aborted) throw error;
    });
  });
  return () => gone.abort();
}

async function listen(live: Response, signal: AbortSignal, onHeard: () => void): Promise<void> {
  let turn: number | null = null;
  for await (const at of overviewsOf(live)) {
    onHeard();
    const present = Math.floor(at / LIST_MS);
    if (turn !== null && turn !== present) await (await fetch(`${address}/api/messages`, { signal })).json();
    turn = present;
  }
}

/** When each overview was read, by the server's clock. */
async function* overviewsOf(live: Response): AsyncGenerator<number> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const part of live.body as unknown as AsyncIterable<Uint8Array>) {
    const events = (rest + decoder.decode(part, { stream: true })).split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      // Not parsed whole: a page does that on a machine of its own.
      const at = /^event: overview\ndata: \{"at":"([^"]+)"/.exec(event)?.[1];
      if (at !== undefined) yield Date.parse(at);
    }
  }
}

function countStatements(): void {
  const { prototype } = pg.Client;
  const query = Reflect.get(prototype, 'query') as (...given: unknown[]) => unknown;
  Object.assign(prototype, {
    query(this: pg.Client, ...given: unknown[]): unknown {
      statements += 1;
      return query.apply(this, given);
    },
  });
}

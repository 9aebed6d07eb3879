/** One dashboard over several databases: what each says, what all of them say together, and what becomes of one that does not answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AllFindings, AllOverviews, AsJson, WholePath } from '../../src/dashboard/server/contract.ts';
import type { DashboardOptions } from '../../src/dashboard/server/options.ts';
import { createParts, type DashboardParts } from '../../src/dashboard/server/parts.ts';
import { listAudit } from '../../src/operations/reads/audit.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { seedRun, STUCK_UNDOING } from '../operations/saga-lab.ts';
import {
  AWAY,
  openTwoServices,
  startSilentServer,
  type Placed,
  type SilentServer,
  type TwoServices,
} from '../operations/two-services.ts';
import { ask, authenticator, TOKENS } from './server-lab.ts';

let services: TwoServices;
let placed: Placed;
let silentServer: SilentServer;
let parts: DashboardParts;
const opened: Database[] = [];
const made: DashboardParts[] = [];

function open(more: Readonly<Record<string, string>> = {}): DashboardParts {
  const others = Object.entries(more).map(([name, url]) => {
    const database = openDatabase({ url });
    opened.push(database);
    return [name, database] as const;
  });
  const { orders, payments } = services;
  const databases = { orders, payments, ...Object.fromEntries(others) };
  const each = createParts({ databases, authenticators: [authenticator], pageFolder: '/nowhere' });
  made.push(each);
  return each;
}

beforeAll(async () => {
  [services, silentServer] = await Promise.all([openTwoServices(), startSilentServer()]);
  placed = await services.place('o-1');
  parts = open();
});
afterAll(async () => {
  await silentServer.close();
  await Promise.all(made.map((each) => each.close()));
  await Promise.allSettled(opened.map((each) => each.close()));
  await services.dispose();
});

const look = async <T>(from: DashboardParts, path: string) =>
  (await ask(from, path, { as: 'viewer' })).json as unknown as AsJson<T>;

describe('all of them', () => {
  it('are told of as the session names them', async () => {
    expect((await ask(parts, '/api/session')).json['databases']).toEqual([
      { name: 'orders', schema: 'holdfast' },
      { name: 'payments', schema: 'holdfast' },
    ]);
  });

  it('have an overview, a name found in any of them, and one way of a message', async () => {
    const { items } = await look<AllOverviews>(parts, '/api/all/overview');
    expect(items).toMatchObject([
      { database: 'orders', failure: null, answer: { relay: { subscriptions: [{ name: 'main' }] } } },
      { database: 'payments', failure: null, answer: { history: [{}] } },
    ]);
    const found = await look<AllFindings>(parts, '/api/all/find?q=o-1');
    expect(found.items).toMatchObject([
      {
        database: 'orders',
        answer: { found: expect.arrayContaining([expect.objectContaining({ id: placed.runId })]) },
      },
      { database: 'payments', answer: { found: [{ name: 'payment.booked' }] } },
    ]);
    const path = await look<WholePath>(parts, `/api/all/messages/${placed.messageId}/path`);
    expect(path).toMatchObject({ database: 'orders', consumers: [{ consumer: 'ledger', database: 'payments' }] });
    expect(path.silent).toEqual([]);
  });

  it('are as many as one: what is over all of them is there with one, too', async () => {
    const alone = createParts({ database: services.orders, authenticators: [authenticator], pageFolder: '/nowhere' });
    made.push(alone);
    const { items } = await look<AllOverviews>(alone, '/api/all/overview');
    expect(items.map(({ database }) => database)).toEqual(['main']);
    expect(await look<WholePath>(alone, `/api/all/messages/${placed.messageId}/path`)).toMatchObject({
      database: 'main',
      consumers: [],
    });
  });

  it.each([
    ['is away', () => AWAY, 'HF_DATABASE_UNAVAILABLE'],
    ['takes connections and says nothing', () => silentServer.url, 'HF_READ_TIMEOUT'],
  ])('answer without one that %s, and say which one that is', async (_what, url, code) => {
    const troubled = open({ stock: url() });
    const [overview, found, path] = await Promise.all([
      look<AllOverviews>(troubled, '/api/all/overview'),
      look<AllFindings>(troubled, '/api/all/find?q=o-1'),
      look<WholePath>(troubled, `/api/all/messages/${placed.messageId}/path`),
    ]);
    for (const items of [overview.items, found.items]) {
      expect(items.map(({ database, failure }) => [database, failure?.code ?? null])).toEqual([
        ['orders', null],
        ['payments', null],
        ['stock', code],
      ]);
    }
    expect(path.silent.map(({ database, failure }) => [database, failure.code])).toEqual([['stock', code]]);
    expect(path.consumers).toMatchObject([{ consumer: 'ledger' }]);
    expect(JSON.stringify([overview, found, path])).not.toMatch(/127\.0\.0\.1|nobody/);
  });
});

describe('one of them', () => {
  it('is asked by its name, and an act there leaves its row there, and the command that does the same', async () => {
    const runId = await seedRun(services.payments, STUCK_UNDOING);
    expect((await ask(parts, `/api/db/payments/runs/${runId}`)).status).toBe(200);
    expect((await ask(parts, `/api/db/orders/runs/${runId}`)).status).toBe(404);
    const acted = await ask(parts, `/api/db/payments/runs/${runId}/retry`, { body: { reason: 'the bank is back' } });
    expect(acted.json['command']).toBe(`holdfast saga retry ${runId} --reason 'the bank is back' --database payments`);
    expect(await listAudit(services.payments, { subject: runId })).toMatchObject([{ actor: 'dashboard:otto' }]);
    expect(await listAudit(services.orders, { subject: runId })).toEqual([]);
  });

  it('gets no answer that another one has given a moment ago', async () => {
    const [orders, payments] = await Promise.all(
      ['orders', 'payments'].map((name) => ask(parts, `/api/db/${name}/subscriptions`, { as: 'viewer' })),
    );
    expect(JSON.stringify(orders?.json)).not.toBe(JSON.stringify(payments?.json));
  });
});

describe('pages that are live', () => {
  const eventsOf = async (path: string, most: number): Promise<readonly string[]> => {
    const request = new Request(`http://dash.test${path}`, { headers: { authorization: `Bearer ${TOKENS.viewer}` } });
    const response = await parts.fetch(request, { incoming: { socket: { remoteAddress: '203.0.113.7' } } });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const decoder = new TextDecoder();
    let text = '';
    const events = (): readonly string[] => text.split('\n\n').filter((each) => each.startsWith('event: overview\n'));
    while (events().length < most) {
      const { value, done } = await reader.read();
      if (done) break;
      text += decoder.decode(value, { stream: true });
    }
    await reader.cancel();
    return events().map((each) => each.slice(each.indexOf('{')));
  };

  it('of all are told of each, and of one of that one', async () => {
    const [all, one] = await Promise.all([eventsOf('/api/all/live', 2), eventsOf('/api/db/payments/live', 1)]);
    const told = all.map(
      (each) => JSON.parse(each) as { database: string; answer: { at: string; history: unknown[] } },
    );
    expect(told.map(({ database }) => database).toSorted()).toEqual(['orders', 'payments']);
    expect(told.every(({ answer }) => answer.history.length === 1)).toBe(true);
    // One reading for all who look, from wherever.
    expect(JSON.parse(one[0]!)).toMatchObject({ at: told.find(({ database }) => database === 'payments')!.answer.at });
    // Whoever comes between two is told of both at once.
    expect(await eventsOf('/api/all/live', 2)).toHaveLength(2);
  });
});

describe('a dashboard', () => {
  const options = { authenticators: [authenticator], pageFolder: '/nowhere' };

  it.each([
    [{}, /has no database/],
    [{ databases: {} }, /names no database/],
    [{ databases: { 'Orders DB': {} } }, /names a database "Orders DB"/],
    [{ database: {}, databases: { orders: {} } }, /both database and databases/],
  ])('refuses %o', (given, message) => {
    expect(() => createParts({ ...options, ...given } as DashboardOptions)).toThrow(message);
  });
});

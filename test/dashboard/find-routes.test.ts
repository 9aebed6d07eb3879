/** Searching by the service API on a real database: what it finds, how pages go on, what it says of how far it looked, and who may ask. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { failureOf } from '../../src/dashboard/server/failure.ts';
import type { DashboardRole } from '../../src/dashboard/server/contract.ts';
import type { DashboardParts } from '../../src/dashboard/server/parts.ts';
import { HoldfastError } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { emptySagas, seedRun, STUCK_UNDOING } from '../operations/saga-lab.ts';
import { ask, useDashboardLab, type Asking } from './server-lab.ts';

const lab = useDashboardLab();
const outbox = createOutbox();
const Order = message('order.placed', {
  schema: z.object({ orderId: z.string(), card: z.string().optional() }),
  key: ({ orderId }) => orderId,
});
let parts: DashboardParts;
beforeAll(() => {
  parts = lab.open();
});
beforeEach(async () => {
  await lab.database.query('TRUNCATE holdfast.outbox, holdfast.inbox, holdfast.parked_delivery RESTART IDENTITY');
  await emptySagas(lab.database);
});

type SendOptions = Parameters<typeof outbox.send>[3];
const place = async (orderId: string, options: SendOptions = {}, card = 'x-1') =>
  (await lab.database.transaction((tx) => outbox.send(tx, Order, { orderId, card }, options))).id;
/** Rows of others, behind which things are. */
const fill = (count: number) =>
  lab.database.query(
    `INSERT INTO holdfast.outbox (xid, id, topic, key, lane, payload, headers)
     SELECT pg_current_xact_id(), holdfast.uuid_v7(), 'other.thing', 'k-' || n, 1, jsonb_build_object('n', n), '{"schemaversion":1}'
     FROM generate_series(1, $1::int) n`,
    [count],
  );

interface Listed {
  readonly items: readonly Readonly<Record<string, unknown>>[];
  readonly older: string | null;
  readonly newer: string | null;
  readonly looked: { readonly rows: number; readonly reached: string | null; readonly complete: boolean };
}

async function listed(
  path: string,
  query: Readonly<Record<string, string | null>> = {},
  { of = parts, ...asking }: Asking & { readonly of?: DashboardParts } = {},
): Promise<Listed> {
  const given = Object.entries(query).filter((each): each is [string, string] => each[1] !== null);
  const { status, json } = await ask(of, `${path}?${new URLSearchParams(given).toString()}`, asking);
  expect({ path, query, status, json }).toMatchObject({ path, query, status: 200 });
  return json as unknown as Listed;
}
const idsOf = ({ items }: Listed) => items.map(({ id }) => id);

describe('lists', () => {
  it('go on to the end and back again, each row once', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.push(await place(`o-${n}`));
    const newest = ids.toReversed();
    const first = await listed('/api/messages', { limit: '2' });
    expect(idsOf(first)).toEqual(newest.slice(0, 2));
    const second = await listed('/api/messages', { limit: '2', cursor: first.older });
    expect(idsOf(second)).toEqual(newest.slice(2, 4));
    const third = await listed('/api/messages', { limit: '2', cursor: second.older });
    expect(idsOf(third)).toEqual(newest.slice(4));
    expect(third).toMatchObject({ older: null, looked: { complete: true } });
    expect(idsOf(await listed('/api/messages', { limit: '2', cursor: third.newer }))).toEqual(newest.slice(2, 4));
    const later = await place('o-9');
    expect(idsOf(await listed('/api/messages', { cursor: first.newer }))).toEqual([later]);
  });

  it('of messages are searched by each thing that they have', async () => {
    const first = await place('o-1');
    const second = await place('o-2', {
      correlationId: 'c-2',
      causationId: first,
      headers: { tenant: 'a', plan: 'p=q' },
    });
    const found = async (query: Readonly<Record<string, string>>) => idsOf(await listed('/api/messages', query));
    for (const query of [
      { topic: 'order.*', key: 'o-2' },
      { id: second },
      { id: second.slice(0, 35) },
      { correlation: 'c-2' },
      { cause: first },
      { headers: 'tenant=a' },
      { headers: 'plan=p=q' },
      { headers: '{"tenant": "a", "plan": "p=q"}' },
      { payload: '{"orderId": "o-2"}' },
      { payload: '{"orderId": "o-2"}', since: '1h', topic: 'order.placed' },
    ])
      expect({ query, found: await found(query) }).toEqual({ query, found: expect.arrayContaining([second]) });
    expect(await found({ headers: 'tenant=b' })).toEqual([]);
    expect(await found({ payload: '{"orderId": "o-3"}' })).toEqual([]);
    expect(await found({ until: '2020-01-01' })).toEqual([]);
    expect(await found({ payload: '{"orderId": "o-2"}', key: 'o-1' })).toEqual([]);
  });

  it('of runs are searched by each thing that they have', async () => {
    const old = await seedRun(lab.database, { key: 'o-1', startedAgo: 7_200, status: 'completed' });
    const stuck = await seedRun(lab.database, {
      ...STUCK_UNDOING,
      key: 'o-2',
      version: 2,
      journal: [[{ t: 'started', input: { order: { id: 'o-2' } } }]],
    });
    const found = async (query: Readonly<Record<string, string>>) => idsOf(await listed('/api/runs', query));
    for (const query of [
      { saga: 'place-order', version: '2' },
      { status: 'stuck,running' },
      { stuck: '' },
      { key: 'o-2' },
      { id: stuck.slice(0, 20) },
      { error: 'such payment' },
      { error: 'HF_PERMANENT' },
      { input: '{"order": {"id": "o-2"}}' },
      { since: '1h' },
    ])
      expect({ query, found: await found(query) }).toEqual({ query, found: [stuck] });
    for (const query of [{ until: '1h' }, { finishedSince: '5m' }, { finishedSince: '5m', finishedUntil: '0s' }])
      expect({ query, found: await found(query) }).toEqual({ query, found: [old] });
    expect(await found({ parent: stuck })).toEqual([]);
    expect(new Set(await found({ updatedSince: '5m' }))).toEqual(new Set([old, stuck]));
    expect(await found({ updatedUntil: '5m' })).toEqual([]);
  });

  it('say how far they looked when their time was up, and go on from there', async () => {
    const id = await place('o-1');
    await fill(5_000);
    const search = { payload: '{"orderId": "o-1"}', lookFor: '0ms' };
    let page = await listed('/api/messages', search);
    expect(page).toMatchObject({ items: [], looked: { rows: 1_000, complete: false, reached: expect.any(String) } });
    for (let pages = 1; page.items.length === 0; pages += 1) {
      expect(pages).toBeLessThan(10);
      expect(page.older).not.toBe(null);
      page = await listed('/api/messages', { ...search, cursor: page.older });
    }
    expect(idsOf(page)).toEqual([id]);
    expect(page).toMatchObject({ older: null, looked: { complete: true } });
    // With time, it is found at once.
    expect(idsOf(await listed('/api/messages', { ...search, lookFor: '2s' }))).toEqual([id]);
  });

  it.each([
    '/api/messages?payload=orderId',
    '/api/messages?payload=',
    '/api/messages?payload=12345678901234567890',
    `/api/messages?payload=${'['.repeat(400)}${']'.repeat(400)}`,
    '/api/messages?payload=%22%5Cu0000%22',
    '/api/messages?payload=%22%5Cud800%22',
    '/api/messages?headers=tenant',
    '/api/messages?headers=%7B%22a%22%3A1%7D',
    '/api/messages?headers=%7B%22a%22%3A%22%5Cu0000%22%7D',
    '/api/messages?headers=a%3D%00',
    '/api/messages?key=%00',
    '/api/messages?id=o-1',
    '/api/messages?cursor=91174',
    '/api/messages?lookFor=1h',
    '/api/messages?lookFor=3s',
    '/api/messages?next=x',
    '/api/runs?version=99999999999',
    '/api/runs?parent=x',
    '/api/runs?input=%7B',
    '/api/runs?finishedSince=5m&cursor=WzEsImlkIiwwLDAsIjAwMDAwMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMCJd',
    '/api/find',
    '/api/find?q=%20',
    '/api/find?q=%00',
    '/api/find?q=x&cursor=y',
    '/api/messages/no-id/path',
  ])('refuse %s', async (path) => {
    const { status, json } = await ask(parts, path);
    expect({ path, status, json }).toMatchObject({ path, status: 400 });
    expect(json).toEqual({ code: expect.any(String), message: expect.any(String), advice: expect.any(String) });
    expect(JSON.stringify(json)).not.toMatch(/select|syntax/i);
  });
});

describe('a name', () => {
  it('is that of a run, of messages, and of what is parked', async () => {
    const id = await place('o-1');
    const run = await seedRun(lab.database, { key: 'o-1' });
    const found = async (q: string) =>
      (await ask(parts, `/api/find?${new URLSearchParams({ q }).toString()}`, { as: 'viewer' })).json;
    expect(await found('o-1')).toMatchObject({
      found: [
        { kind: 'run', id: run, by: 'key' },
        { kind: 'message', id, by: 'key' },
      ],
      advice: null,
      looked: { complete: true },
    });
    await lab.database.query(
      `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason, error, attempts)
       VALUES ('billing', $1, 'order.placed', '{"data": {}}', 'failed', 'gave up', 'Error: no', 5)`,
      [id],
    );
    expect(await found(id)).toMatchObject({ found: [{ kind: 'message' }, { kind: 'parked', id }] });
    expect(await found('o-2')).toMatchObject({ found: [], advice: expect.stringMatching(/Retention/) });
  });

  it('that many messages have leads on', async () => {
    for (let n = 0; n < 25; n += 1) await place('o-1');
    const first = (await ask(parts, '/api/find?q=o-1')).json as { found: unknown[]; further: string };
    expect(first.found).toHaveLength(20);
    const second = (await ask(parts, `/api/find?q=o-1&cursor=${first.further}`)).json;
    expect(second).toMatchObject({ further: null });
    expect(second['found']).toHaveLength(5);
  });
});

describe('the way of a message', () => {
  it('is told from its transaction on, also of what was pruned, and of nothing else', async () => {
    const id = await place('o-1');
    await lab.database.query(`INSERT INTO holdfast.inbox (consumer, message_id) VALUES ('billing', $1)`, [id]);
    expect(await ask(parts, `/api/messages/${id}/path`, { as: 'viewer' })).toMatchObject({
      status: 200,
      json: {
        state: 'logged',
        message: { topic: 'order.placed', key: 'o-1' },
        consumers: [{ consumer: 'billing', state: 'handled' }],
        steps: [{ kind: 'written' }, { kind: 'consumer', who: 'billing', sinceWrittenMs: expect.any(Number) }],
      },
    });
    await lab.database.query('DELETE FROM holdfast.outbox');
    expect((await ask(parts, `/api/messages/${id}/path`)).json).toMatchObject({ state: 'pruned', message: null });
    const gone = await ask(parts, '/api/messages/00000000-0000-7000-8000-000000000000/path');
    expect(gone).toMatchObject({ status: 404, json: { code: 'HF_NOT_FOUND' } });
  });

  it('and the run that sent it hold nothing of a payload that is hidden', async () => {
    const hidden = lab.open({ hidePayloads: true });
    const run = await seedRun(lab.database, {
      journal: [
        [{ t: 'started', input: { card: 'x-1' } }],
        [{ t: 'called', call: 'charge', kind: 'command', step: 'charge', input: { card: 'x-1' } }],
        [
          {
            t: 'attempt failed',
            call: 'charge',
            attempt: 1,
            error: { name: 'E', message: 'no reply' },
            retryAt: Date.now(),
          },
        ],
      ],
    });
    const headers = { 'holdfast-saga': run, 'holdfast-call': 'charge', 'holdfast-role': 'command' };
    const id = await place('o-1', { headers, correlationId: run });
    const shown = await ask(hidden, `/api/runs/${run}`, { as: 'viewer' });
    expect(shown.json).toMatchObject({
      sent: { messages: [{ id, topic: 'order.placed', call: 'charge', role: 'command' }], complete: true },
      timeline: { calls: [{ call: 'charge', messages: [{ id }], input: { hidden: true } }] },
    });
    const way = await ask(hidden, `/api/messages/${id}/path`, { as: 'viewer' });
    expect(way.json).toMatchObject({ sender: { runId: run, call: 'charge' } });
    const lists = [await listed('/api/messages', {}, { of: hidden }), await listed('/api/runs', {}, { of: hidden })];
    expect(JSON.stringify([shown.json, way.json, lists])).not.toMatch(/x-1/);
  });
});

describe('what is hidden', () => {
  const byValue = ['/api/messages?payload={"card":"x-1"}', '/api/messages?headers=a=b', '/api/runs?input={"card":1}'];
  const asked = async (of: DashboardParts, path: string, as: DashboardRole) => {
    const { status, json } = await ask(of, path, { as });
    return { status, code: json['code'], advice: json['advice'], items: json['items'] };
  };

  it('is not confirmed to a viewer by finding it', async () => {
    await place('o-1');
    for (const options of [{ hidePayloads: true }, { redact: ['other'] }]) {
      const hiding = lab.open(options);
      for (const path of byValue) {
        expect(await asked(hiding, path, 'viewer')).toEqual({
          status: 403,
          code: 'HF_ROLE',
          advice: expect.stringMatching(/Search by topic, key/),
          items: undefined,
        });
        expect(await asked(hiding, path, 'operator')).toMatchObject({ status: 200 });
      }
      expect((await asked(hiding, '/api/messages?key=o-1', 'viewer')).items).toHaveLength(1);
      for (const [as, searchesValues] of [
        ['viewer', false],
        ['operator', true],
      ] as const)
        expect((await ask(hiding, '/api/session', { as })).json).toMatchObject({ searchesValues });
    }
    for (const path of byValue) expect(await asked(parts, path, 'viewer')).toMatchObject({ status: 200 });
    expect((await ask(parts, '/api/session', { as: 'viewer' })).json).toMatchObject({ searchesValues: true });
  });

  it('from everybody is confirmed to nobody', async () => {
    await place('o-1');
    const redacting = lab.open({ redact: ['card', '**.pin'] });
    for (const path of [
      '/api/messages?payload={"card":"x-1"}',
      '/api/messages?payload={"orderId":"o-1","card":"x-1"}',
      '/api/messages?payload={"a":[{"pin":1}]}',
      '/api/runs?input={"card":1}',
    ])
      expect(await asked(redacting, path, 'admin')).toMatchObject({ status: 403, code: 'HF_ROLE' });
    expect((await asked(redacting, '/api/messages?payload={"orderId":"o-1"}', 'operator')).items).toHaveLength(1);
  });
});

describe('a database that does not read in time', () => {
  it('is told with what to do about it', async () => {
    const error = new HoldfastError('HF_READ_TIMEOUT', 'Not even a few.', { advice: 'Narrow the search.' });
    expect(failureOf(error)).toEqual({
      status: 503,
      headers: { 'retry-after': '5' },
      body: { code: 'HF_READ_TIMEOUT', message: 'Not even a few.', advice: 'Narrow the search.' },
      isOurs: true,
    });
  });
});

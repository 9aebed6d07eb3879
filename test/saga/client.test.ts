/**
 * Clients of sagas: what they refuse, what they write, how they wait. Over both stores.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import type { TransactionHandle } from '../../src/postgres/executor.ts';
import { createSagas, createSagasOn, type Sagas } from '../../src/saga/client/client.ts';
import { createRegistry, saga } from '../../src/saga/definition/definition.ts';
import { createPostgresClientStore } from '../../src/saga/store/postgres/postgres-client-store.ts';
import { createPostgresWorkerStore } from '../../src/saga/store/postgres/postgres-worker-store.ts';
import { recordError } from '../../src/saga/journal/recorded-error.ts';
import type { ClientStore, RunUpdate, WorkerStore } from '../../src/saga/store/store.ts';
import { createMemorySagaStore } from '../../src/testing/saga/memory-saga-store.ts';
import { commitOf, journalRow, LEASE_MS, update } from '../conformance/saga-store-kit.ts';
import { createTestDatabase } from '../support/servers.ts';

const order = saga({
  name: 'order',
  input: z.object({ id: z.string(), count: z.number().default(1) }),
  signals: { approved: z.object({ by: z.string() }), hurry: z.undefined() },
  deadline: '1d',
  steps: {},
  run: async ({ input }) => ({ ordered: input.id }),
});
const order2 = saga({
  name: 'order',
  version: 2,
  input: z.object({ id: z.string() }),
  steps: {},
  run: async () => ({ ordered: 'two' }),
});
const slowCheck = saga({
  name: 'slow-check',
  input: z.string().refine(async (text) => text !== 'bad'),
  steps: {},
  run: async () => {},
});
const wide = saga({ name: 'wide', input: z.unknown(), steps: {}, run: async () => {} });
const ALL = [order, order2, slowCheck, wide];

interface Place<Tx> {
  readonly store: ClientStore<Tx>;
  readonly worker: WorkerStore;
  readonly sagas: Sagas<Tx>;
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
  /** In no transaction. */
  readonly outside: Tx;
  dispose(): Promise<void>;
}

async function inMemory(): Promise<Place<unknown>> {
  const store = createMemorySagaStore();
  const outside = store.begin();
  outside.rollback();
  const { sagas } = createSagasOn(store, { registry: createRegistry(ALL, 'test'), where: 'test' });
  const place = { store, worker: store, sagas, outside, dispose: async () => {} };
  return { ...place, transaction: (fn: never) => store.inTransaction(fn) } as unknown as Place<unknown>;
}

async function onPostgres(): Promise<Place<TransactionHandle>> {
  const server = await createTestDatabase({ migrate: true });
  const database = openDatabase({ pool: server.pool });
  const worker = createPostgresWorkerStore({ database });
  await worker.open();
  return {
    store: createPostgresClientStore({ database }),
    worker,
    sagas: createSagas({ database, sagas: ALL }),
    transaction: (fn) => database.transaction(fn),
    outside: async (sql, parameters) => (await server.pool.query(sql, [...parameters])).rows,
    async dispose() {
      await worker.close();
      await database.close();
      await server.drop();
    },
  };
}

describe.each([
  ['in memory', inMemory],
  ['on PostgreSQL', onPostgres as unknown as () => Promise<Place<unknown>>],
])('clients of sagas, %s', (_, create) => {
  let place: Place<unknown>;
  let sagas: Sagas<unknown>;
  let workerId: string;
  beforeAll(async () => {
    place = await create();
    ({ sagas } = place);
    workerId = randomUUID();
    await place.worker.register({ id: workerId, name: 'test', sagas: [], leaseMs: LEASE_MS });
  });
  afterAll(() => place.dispose());

  const versions = ALL.map(({ name, version }) => ({ saga: name, version }));

  /** Takes the run up and commits that it is so. */
  async function becomes(id: string, status: RunUpdate['status'], parts: Partial<RunUpdate> = {}): Promise<void> {
    await place.worker.claim(
      workerId,
      versions.map((each) => ({ ...each, limit: 1_000 })),
    );
    await place.worker.commit(workerId, [commitOf(id, { update: update(status, parts) })]);
  }
  const inputOf = async (id: string) => (await place.store.journal(id))[0]?.events[0];
  const runMessagesOf = async (id: string) =>
    (await place.worker.collect(workerId, { sagas: versions, limit: 0, taken: [] })).runMessages.filter(
      ({ runId }) => runId === id,
    );

  describe('start', () => {
    it('records what the schema gives out, and the deadline', async () => {
      const handle = await sagas.start(order, { id: 'o-1' });
      expect(handle.created).toBe(true);
      const started = await inputOf(handle.id);
      expect(started).toMatchObject({ t: 'started', input: { id: 'o-1', count: 1 }, deadlineAt: expect.any(Number) });
      expect(await handle.status()).toMatchObject({ saga: 'order', version: 1, status: 'pending', key: null });
      const other = await sagas.start(wide, null);
      expect(await inputOf(other.id)).toEqual({ t: 'started', input: null });
    });

    it('takes a deadline and an id of its own', async () => {
      const id = randomUUID();
      const handle = await sagas.start(order, { id: 'o' }, { id: id.toUpperCase(), deadline: 1_000 });
      expect(handle.id).toBe(id);
      const [row] = await place.store.journal(id);
      expect(row?.events[0]).toMatchObject({ deadlineAt: (row?.at ?? 0) + 1_000 });
    });

    it('starts once for a key', async () => {
      const first = await sagas.start(order, { id: 'o' }, { key: 'k-1' });
      const second = await sagas.start(order2, { id: 'p' }, { key: 'k-1' });
      expect([first.created, second.created, second.id]).toEqual([true, false, first.id]);
      expect(await second.status()).toMatchObject({ key: 'k-1', version: 1 });
    });

    it('starts with the transaction it is given, and not without it', async () => {
      const kept = await place.transaction(async (tx) => {
        const handle = await sagas.start(tx, order, { id: 'o' }, { key: 'k-2' });
        await expect(handle.status()).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
        await handle.signal('approved', { by: 'me' }, { tx });
        return handle;
      });
      expect(await kept.status()).toMatchObject({ status: 'pending' });
      let lost = '';
      const rolledBack = place.transaction(async (tx) => {
        lost = (await sagas.start(tx, order, { id: 'o' })).id;
        throw new Error('no');
      });
      await expect(rolledBack).rejects.toThrow('no');
      await expect(sagas.handle(order, lost).status()).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    });

    it('refuses what is in no transaction', async () => {
      const refused = sagas.start(place.outside, order, { id: 'o' }, { key: 'k-3' });
      await expect(refused).rejects.toMatchObject({ code: 'HF_NOT_IN_TRANSACTION' });
      expect((await sagas.start(order, { id: 'o' }, { key: 'k-3' })).created).toBe(true);
    });

    it.each<readonly [string, unknown, unknown, object]>([
      ['HF_PAYLOAD_INVALID', order, { id: 1 }, {}],
      ['HF_PAYLOAD_INVALID', slowCheck, 'bad', {}],
      ['HF_PAYLOAD_NOT_JSON', wide, new Date(), {}],
      ['HF_PAYLOAD_NOT_JSON', wide, undefined, {}],
      ['HF_PAYLOAD_TEXT', wide, '\0', {}],
      ['HF_PAYLOAD_TOO_LARGE', wide, 'x'.repeat(1_048_577), {}],
      ['HF_KEY_EMPTY', wide, 1, { key: '' }],
      ['HF_PAYLOAD_TEXT', wide, 1, { key: '\uD800' }],
      ['HF_PAYLOAD_TOO_LARGE', wide, 1, { key: 'x'.repeat(201) }],
      ['HF_CONFIG', wide, 1, { key: 7 }],
      ['HF_CONFIG', wide, 1, { id: 'o-1' }],
      ['HF_DURATION', wide, 1, { deadline: 'soon' }],
      ['HF_OPTION_UNKNOWN', wide, 1, { deadlien: '1s' }],
      ['HF_SAGA_UNKNOWN', { ...wide, name: 'wode' }, 1, {}],
      ['HF_SAGA_UNKNOWN', { ...wide, version: 3 }, 1, {}],
    ])('refuses with %s, %#', async (code, definition, input, options) => {
      const refused = sagas.start(definition as typeof wide, input, options);
      await expect(refused).rejects.toMatchObject({ code });
      await place.transaction(async (tx) => {
        await expect(sagas.start(tx, definition as typeof wide, input, options)).rejects.toMatchObject({
          code,
        });
      });
    });

    it('says what is wrong with a call that makes no sense', async () => {
      const start = (...given: readonly unknown[]): Promise<unknown> =>
        sagas.start(...(given as [unknown, typeof wide, unknown]));
      await expect(start('order', {})).rejects.toThrow('Find it by sagas.byName(name).');
      await expect(start({}, {})).rejects.toThrow('sagas.start(tx, placeOrder, input)');
      await expect(start()).rejects.toMatchObject({ code: 'HF_SAGA_UNKNOWN' });
      await expect(start(undefined, order, { id: 'o' })).rejects.toMatchObject({ code: 'HF_TX_UNSUPPORTED' });
      await expect(start({ ...wide, name: 'wode' }, 1)).rejects.toThrow('Did you mean "wide"?');
    });
  });

  describe('result', () => {
    it('is the result once the run is completed', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      const result = handle.result();
      await becomes(handle.id, 'completed', { result: '{"ordered":"o"}' });
      expect(await result).toEqual({ ordered: 'o' });
      expect(await sagas.handle(order, handle.id.toUpperCase()).result({ timeout: '1m' })).toEqual({ ordered: 'o' });
    });

    it('tells why a run was compensated, with the error it failed with', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      await becomes(handle.id, 'compensating', { reason: 'failed' });
      const error = JSON.stringify(recordError(new Rejection('sold out')));
      await place.worker.commit(workerId, [
        commitOf(handle.id, { update: update('compensated', { reason: 'failed', error }) }),
      ]);
      const refused: unknown = await handle.result().catch((caught: unknown) => caught);
      expect(refused).toMatchObject({
        code: 'HF_SAGA_UNDONE',
        details: { reason: 'failed', run: handle.id, saga: 'order' },
      });
      expect((refused as Error).cause).toBeInstanceOf(Rejection);
      expect((refused as Error).message).toBe(`Run ${handle.id} of order failed and was compensated: sold out.`);
    });

    it("keeps the name and code of a user's error", async () => {
      const handle = await sagas.start(order, { id: 'o' });
      const error = JSON.stringify(recordError(Object.assign(new TypeError('oh'), { code: 'E1' })));
      await becomes(handle.id, 'compensated', { reason: 'timed out', error });
      const refused: unknown = await handle.result().catch((caught: unknown) => caught);
      expect((refused as Error).cause).toMatchObject({ name: 'TypeError', message: 'oh', code: 'E1' });
      expect(refused).toMatchObject({ details: { reason: 'timed out' } });
    });

    it('tells where a run is stuck', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      await becomes(handle.id, 'running');
      const recorded = { name: 'Error', message: 'no refund' };
      const events = journalRow(1, [{ t: 'stuck', why: 'compensation', call: 'charge', error: recorded }]);
      await place.worker.commit(workerId, [
        commitOf(handle.id, { journal: events, update: update('stuck', { error: JSON.stringify(recorded) }) }),
      ]);
      await expect(handle.result()).rejects.toMatchObject({
        code: 'HF_SAGA_STUCK',
        details: { why: 'compensation', call: 'charge' },
      });
    });

    it('gives up on time and by signal, and the run goes on', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      await expect(handle.result({ timeout: 1 })).rejects.toMatchObject({ code: 'HF_RESULT_TIMEOUT' });
      const stop = new AbortController();
      const waiting = handle.result({ signal: stop.signal });
      stop.abort(new Error('enough'));
      await expect(waiting).rejects.toThrow('enough');
      await expect(handle.result({ signal: stop.signal })).rejects.toThrow('enough');
      await expect(handle.result({ timeOut: 1 } as object)).rejects.toMatchObject({ code: 'HF_OPTION_UNKNOWN' });
    });

    it('refuses what is not there, and what is a run of another saga', async () => {
      await expect(sagas.handle(order, randomUUID()).result()).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
      const { id } = await sagas.start(wide, 1);
      await expect(sagas.handle(order, id).status()).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
      await expect(sagas.handle(order, id).signal('hurry')).rejects.toThrow(`Run ${id} is one of wide, not of order.`);
      await expect(sagas.handle(order, id).cancel()).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
      expect(() => sagas.handle(order, 'o-1')).toThrow('ids are UUIDs');
    });
  });

  describe('signal', () => {
    it('leaves mail with what the schema gives out', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      await becomes(handle.id, 'running');
      await handle.signal('approved', { by: 'me' }, { id: 's-1' });
      await sagas.handle(order, handle.id).signal('hurry');
      expect((await runMessagesOf(handle.id)).map(({ body }) => body)).toEqual([
        { kind: 'signal', name: 'approved', payload: { by: 'me' }, id: 's-1' },
        { kind: 'signal', name: 'hurry' },
      ]);
    });

    it('goes with the transaction it is given, and not without it', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      await becomes(handle.id, 'running');
      const lost = place.transaction(async (tx) => {
        await handle.signal('hurry', undefined, { tx });
        throw new Error('no');
      });
      await expect(lost).rejects.toThrow('no');
      await expect(handle.signal('hurry', undefined, { tx: place.outside })).rejects.toMatchObject({
        code: 'HF_NOT_IN_TRANSACTION',
      });
      expect(await runMessagesOf(handle.id)).toEqual([]);
      await place.transaction((tx) => handle.signal('hurry', undefined, { tx }));
      expect(await runMessagesOf(handle.id)).toHaveLength(1);
    });

    it('is refused when it is not declared or badly formed', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      const signal = (...given: readonly unknown[]): Promise<void> =>
        handle.signal(...(given as ['approved', { by: string }]));
      await expect(signal('aproved', {})).rejects.toThrow('Did you mean "approved"?');
      await expect(signal('constructor', {})).rejects.toMatchObject({ code: 'HF_SIGNAL_UNKNOWN' });
      await expect(signal('approved', { by: 1 })).rejects.toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
      await expect(signal('approved', { by: '\0' })).rejects.toMatchObject({ code: 'HF_PAYLOAD_TEXT' });
      await expect(signal('approved', { by: 'x' }, { id: '' })).rejects.toMatchObject({ code: 'HF_KEY_EMPTY' });
      await expect(signal('approved', { by: 'x' }, { ids: '' })).rejects.toMatchObject({ code: 'HF_OPTION_UNKNOWN' });
      await expect(signal('approved', { by: 'x' }, { tx: null })).rejects.toMatchObject({ code: 'HF_TX_UNSUPPORTED' });
      await becomes(handle.id, 'running');
      expect(await runMessagesOf(handle.id)).toEqual([]);
    });

    it('waits for a stuck run, and is refused by one that is being compensated, has ended, or is not there', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      await becomes(handle.id, 'stuck');
      await handle.signal('hurry');
      await becomes(handle.id, 'compensating', { reason: 'cancelled' });
      await expect(handle.signal('hurry')).rejects.toMatchObject({ code: 'HF_SAGA_UNDONE' });
      await becomes(handle.id, 'compensated', { reason: 'cancelled' });
      await expect(handle.signal('hurry')).rejects.toMatchObject({ code: 'HF_SAGA_FINISHED' });
      await expect(sagas.handle(order, randomUUID()).signal('hurry')).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    });
  });

  describe('cancel', () => {
    it('leaves mail with who and why', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      await becomes(handle.id, 'waiting');
      await handle.cancel({ reason: 'changed mind', actor: 'customer' });
      expect((await runMessagesOf(handle.id)).map(({ body }) => body)).toEqual([
        { kind: 'cancel', reason: 'changed mind', actor: 'customer' },
      ]);
      await expect(handle.cancel({ reason: 'x'.repeat(1_001) })).rejects.toMatchObject({
        code: 'HF_PAYLOAD_TOO_LARGE',
      });
    });

    it('is content with a run that is being compensated, and refused behind the pivot and after the end', async () => {
      const handle = await sagas.start(order, { id: 'o' });
      await becomes(handle.id, 'compensating', { reason: 'failed' });
      await handle.cancel();
      expect(await runMessagesOf(handle.id)).toEqual([]);
      await becomes(handle.id, 'compensated', { reason: 'failed' });
      await expect(handle.cancel()).rejects.toMatchObject({ code: 'HF_SAGA_FINISHED' });
      const other = await sagas.start(order, { id: 'o' });
      await becomes(other.id, 'stuck');
      await other.cancel();
      await becomes(other.id, 'running', { pivoted: true });
      await expect(other.cancel()).rejects.toMatchObject({ code: 'HF_SAGA_PIVOTED' });
      await becomes(other.id, 'completed', { pivoted: true });
      await expect(other.cancel()).rejects.toMatchObject({ code: 'HF_SAGA_FINISHED' });
    });
  });

  it('finds sagas by name', async () => {
    expect(sagas.byName('order')).toBe(order2);
    expect(sagas.byName('order', 1)).toBe(order);
    expect(() => sagas.byName('oder')).toThrow('Did you mean "order"?');
    expect(() => sagas.byName('order', 7)).toThrow('but not in version 7');
    const handle = await sagas.start(sagas.byName('order', 1), JSON.parse('{"id":"o"}'));
    await handle.signal('approved', { by: 'cli' });
    await expect(handle.signal('else', 1)).rejects.toMatchObject({ code: 'HF_SIGNAL_UNKNOWN' });
  });
});

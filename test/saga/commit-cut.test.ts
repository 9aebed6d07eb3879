/** Commits whose connection breaks before the server has them, and after it has answered: each happens once, and its caller knows. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import {
  createPostgresWorkerStore,
  type PostgresWorkerStore,
} from '../../src/saga/store/postgres/postgres-worker-store.ts';
import { StepPrecludedError } from '../../src/saga/store/commit-error.ts';
import { settleStepInDoubt } from '../../src/saga/store/postgres/step-in-doubt.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import {
  commitOf,
  journalRow,
  LEASE_MS,
  messageText,
  startOf,
  uniqueSaga,
  update,
} from '../conformance/saga-store-kit.ts';
import { isCommit, startTcpProxy, type Fate, type TcpProxy } from '../support/faults/tcp-proxy.ts';
import { openPostgresStores, type PostgresStores } from './postgres-stores.ts';

let stores: PostgresStores;
let proxy: TcpProxy;
let database: Database;
let store: PostgresWorkerStore;
const saga = uniqueSaga();
let worker: string;
let run: string;

beforeAll(async () => {
  stores = await openPostgresStores();
  await stores.test.pool.query('CREATE TABLE effect (id uuid NOT NULL)');
  await stores.test.pool.query(
    'CREATE TABLE strict (id int, CONSTRAINT strict_once UNIQUE (id) DEFERRABLE INITIALLY DEFERRED)',
  );
});
afterAll(() => stores.dispose());
beforeEach(async () => {
  proxy = await startTcpProxy(stores.test.url);
  database = openDatabase({ url: proxy.url });
  store = createPostgresWorkerStore({ database });
  worker = randomUUID();
  await stores.worker.register({ id: worker, name: 'test', sagas: [saga], leaseMs: LEASE_MS });
  const start = startOf(saga);
  run = start.runId;
  await store.commit(worker, [start]);
});
afterEach(async () => {
  await stores.worker.retire(worker, false);
  await store.close();
  await database.close();
  await proxy.close();
});

/** The next message to the server that is one of these meets its fate, and no other. */
function once(fate: Fate, isTarget: (bytes: Buffer) => boolean): void {
  proxy.judge = (bytes) => {
    if (!isTarget(bytes)) return 'pass';
    proxy.judge = () => 'pass';
    return fate;
  };
}

const stepOptions = () => ({
  clock: systemClock,
  log: silentLogger,
  closed: new AbortController().signal,
  crashPoint: () => {},
  queryTimeoutMs: 5_000,
});
const isGroup = (bytes: Buffer): boolean => bytes.includes('holdfast-commit-runs');
const effects = async (): Promise<number> =>
  (await stores.test.pool.query('SELECT 1 FROM effect WHERE id = $1', [run])).rowCount ?? 0;

describe('a group of runs', () => {
  it.each(['before', 'after'] as const)('happens once when it is cut %s the server has it', async (fate) => {
    const other = startOf(saga);
    const message = randomUUID();
    once(fate, isGroup);
    const next = commitOf(run, {
      journal: journalRow(1),
      update: update('completed'),
      messages: [messageText(message)],
    });
    await store.commit(worker, [next, other]);
    expect(proxy.cuts[fate]).toBe(1);
    expect(await stores.client.journal(run)).toHaveLength(2);
    expect(await stores.client.read([run, other.runId])).toMatchObject([
      { status: 'completed' },
      { status: 'running' },
    ]);
    expect((await stores.messages()).filter((id) => id === message)).toHaveLength(1);
  });

  it('does not take the row of another commit for its own', async () => {
    await stores.worker.commit(worker, [commitOf(run, { journal: journalRow(1, [{ t: 'held' }]) })]);
    once('before', isGroup);
    const twin = store.commit(worker, [commitOf(run, { journal: journalRow(1) })]);
    await expect(twin).rejects.toMatchObject({ code: 'HF_COMMIT_REFUSED' });
  });

  it('does not take what stands there of one run for all of them', async () => {
    const row = commitOf(run, { journal: journalRow(1) });
    await stores.worker.commit(worker, [row]);
    const other = startOf(saga);
    once('before', isGroup);
    const refused = await store.commit(worker, [row, other]).catch((error: unknown) => error);
    expect(refused).toMatchObject({ failures: new Map([[run, expect.anything()]]) });
    expect(await stores.client.read([other.runId])).toMatchObject([{ status: 'running' }]);
  });

  it('is refused when the lease has ended by the time it can be made again', async () => {
    await stores.expire(worker);
    once('before', isGroup);
    const late = store.commit(worker, [commitOf(run, { journal: journalRow(1) })]);
    await expect(late).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    expect(proxy.cuts.before).toBe(1);
    expect(await stores.client.journal(run)).toHaveLength(1);
  });
});

describe('a transaction step', () => {
  const step = async (work: PostgresWorkerStore = store): Promise<void> =>
    work.transaction(worker, async (tx) => {
      await tx.query('INSERT INTO effect (id) VALUES ($1)', [run]);
      return commitOf(run, { journal: journalRow(1) });
    });

  it('has its effect and its journal row when the answer to COMMIT is lost', async () => {
    once('after', isCommit);
    await step();
    expect([await effects(), (await stores.client.journal(run)).length]).toEqual([1, 2]);
  });

  it('has neither when COMMIT is lost, and says so', async () => {
    once('before', isCommit);
    await expect(step()).rejects.toMatchObject({ code: 'HF_DATABASE_UNAVAILABLE' });
    expect([await effects(), (await stores.client.journal(run)).map(({ events }) => events.length)]).toEqual([
      0,
      [1, 0],
    ]);
    const again = store.transaction(worker, async () => commitOf(run, { journal: journalRow(2) }));
    await again;
    expect((await stores.client.journal(run)).length).toBe(3);
  });

  it('has neither when what it sent arrives after it was given up, whatever the run has done meanwhile', async () => {
    once('late', isCommit);
    const error: unknown = await step().catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(StepPrecludedError);
    await proxy.deliverLate();
    expect([await effects(), (await stores.client.journal(run)).map(({ events }) => events.length)]).toEqual([
      0,
      [1, 0],
    ]);
    await store.transaction(worker, async (tx) => {
      await tx.query('INSERT INTO effect (id) VALUES ($1)', [run]);
      return commitOf(run, { journal: journalRow(2) });
    });
    expect([await effects(), (await stores.client.journal(run)).length]).toEqual([1, 3]);
  });

  it('happened, when it is late only for who sent it', async () => {
    const insert = step();
    await insert;
    // Of the same row again: as when the empty row was refused because the step's own stands there.
    const commit = { ...commitOf(run, {}), journal: { n: 1, at: Date.now(), events: journalRow(1)?.events ?? '' } };
    const options = { ...stepOptions(), database };
    await expect(settleStepInDoubt(options, worker, { commit, pid: null })).resolves.toBeUndefined();
    const other = { ...commit, journal: { ...commit.journal, events: '[{}]' } };
    await expect(settleStepInDoubt(options, worker, { commit: other, pid: null })).rejects.toMatchObject({
      code: 'HF_LEASE_LOST',
    });
  });

  it('is found out about once the answer of finding out is lost as well', async () => {
    once('before', isCommit);
    const lost = step();
    const guard = proxy.judge;
    proxy.judge = (bytes) => {
      const fate = guard(bytes);
      if (fate !== 'pass') once('after', isCommit);
      return fate;
    };
    await expect(lost).rejects.toBeInstanceOf(StepPrecludedError);
    expect(proxy.cuts).toEqual({ before: 1, after: 1 });
    expect((await stores.client.journal(run)).map(({ events }) => events.length)).toEqual([1, 0]);
  });

  it('takes no place in the journal once the lease is over', async () => {
    once('late', isCommit);
    const late = store.transaction(worker, async (tx) => {
      await tx.query('INSERT INTO effect (id) VALUES ($1)', [run]);
      await stores.expire(worker);
      return commitOf(run, { journal: journalRow(1) });
    });
    await expect(late).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    await proxy.deliverLate();
    expect([await effects(), (await stores.client.journal(run)).length]).toEqual([0, 1]);
  });

  it('has neither when the handler fails, or COMMIT does, or the fence is lost', async () => {
    const failing = (sql: string, swallow = false): Promise<void> =>
      store.transaction(worker, async (tx) => {
        await tx.query('INSERT INTO effect (id) VALUES ($1)', [run]);
        await tx.query(sql).catch((error: unknown) => {
          if (!swallow) throw error;
        });
        return commitOf(run, { journal: journalRow(1) });
      });
    await expect(failing('SELECT 1 / 0')).rejects.toMatchObject({ code: '22012' });
    await expect(failing('SELECT 1 / 0', true)).rejects.toMatchObject({ code: 'HF_TRANSACTION_ABORTED' });
    await expect(failing('INSERT INTO strict VALUES (1), (1)')).rejects.toMatchObject({ code: '23505' });
    await expect(failing('COMMIT')).rejects.toMatchObject({ code: 'HF_PERMANENT' });
    await stores.test.pool.query('DELETE FROM effect');
    const late = store.transaction(worker, async (tx) => {
      await tx.query('INSERT INTO effect (id) VALUES ($1)', [run]);
      await stores.expire(worker);
      // The handler holds nothing that a takeover needs.
      expect(await stores.other.takeOver()).toMatchObject({ workers: 1, runs: 1 });
      return commitOf(run, { journal: journalRow(1) });
    });
    await expect(late).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    expect([await effects(), (await stores.client.journal(run)).length]).toEqual([0, 1]);
  });

  it('takes its client back', async () => {
    let kept: { query(sql: string): Promise<unknown> } | undefined;
    await store.transaction(worker, async (tx) => {
      kept = tx;
      return commitOf(run, { journal: journalRow(1) });
    });
    await expect(kept?.query('SELECT 1')).rejects.toMatchObject({ code: 'HF_NOT_IN_TRANSACTION' });
  });
});

it('a takeover leaves a worker that is still writing alone, and comes back to it', async () => {
  const client = await stores.test.pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT holdfast.hold_worker_lease($1)', [worker]);
  await stores.expire(worker);
  expect(await stores.other.takeOver()).toEqual({ workers: 0, runs: 0 });
  await client.query('COMMIT');
  client.release();
  expect(await stores.other.takeOver()).toMatchObject({ workers: 1 });
});

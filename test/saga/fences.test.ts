/**
 * Fences and locks of the SQL functions that no answer shows: whoever writes under a lease holds the row that says he may, whoever claims
 * passes over what is held, and what has ended stays so.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commitOf, LEASE_MS, startOf, uniqueSaga, update } from '../conformance/saga-store-kit.ts';
import { openPostgresStores, type PostgresStores } from './postgres-stores.ts';

let stores: PostgresStores;
beforeAll(async () => {
  stores = await openPostgresStores();
});
afterAll(() => stores.dispose());

const saga = uniqueSaga();

async function registered(): Promise<string> {
  const id = randomUUID();
  await stores.worker.register({ id, name: 'test', sagas: [saga], leaseMs: LEASE_MS });
  return id;
}

async function held(worker: string): Promise<string> {
  const run = startOf(saga);
  await stores.worker.commit(worker, [run]);
  return run.runId;
}

const run = (sql: string, values: readonly unknown[]) => stores.test.pool.query(sql, [...values]);

/** What another connection meets while the transaction of this statement is open. */
async function besideOpen(sql: string, values: readonly unknown[], beside: () => Promise<unknown>): Promise<unknown> {
  const client = await stores.test.pool.connect();
  try {
    await client.query('BEGIN');
    await client.query(sql, [...values]);
    return await beside().then(
      () => 'free',
      (error: unknown) => (error as { readonly code?: string }).code,
    );
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

const LOCKED = '55P03';
const COMMIT = 'SELECT holdfast.commit_runs($1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false)';
const RECORD = `SELECT holdfast.record_step($1, gen_random_uuid(), 1, 0, '[]')`;
const CLAIM = `SELECT holdfast.claim_runs($1, ARRAY['nothing'], ARRAY[1], ARRAY[1], 1000, 1000)`;
const CLAIM_THESE = `SELECT holdfast.claim_these_runs($1, '{}', 1000, 1000)`;

describe('a write under the lease', () => {
  it.each([
    ['a commit', COMMIT],
    ['a transaction step', RECORD],
    ['a claim', CLAIM],
    ['a claim of these', CLAIM_THESE],
  ])('holds the row of its worker, so that a takeover waits for it: %s', async (_what, sql) => {
    const worker = await registered();
    const take = () => run('SELECT FROM holdfast.worker WHERE id = $1 FOR UPDATE NOWAIT', [worker]);
    expect(await besideOpen(sql, [worker], take)).toBe(LOCKED);
    // The lease is prolonged beside it.
    const renew = () => run('SELECT FROM holdfast.worker WHERE id = $1 FOR NO KEY UPDATE NOWAIT', [worker]);
    expect(await besideOpen(sql, [worker], renew)).toBe('free');
  });

  it.each([
    ['a commit', COMMIT],
    ['a transaction step', RECORD],
    ['a claim', CLAIM],
    ['a claim of these', CLAIM_THESE],
  ])('is refused once that is over: %s', async (_what, sql) => {
    const worker = await registered();
    await stores.expire(worker);
    await expect(run(sql, [worker])).rejects.toMatchObject({ code: 'HF001' });
  });

  it('passes the pivot of no run that it does not hold', async () => {
    const [mine, other] = [await registered(), await registered()];
    const sql = `SELECT holdfast.record_step($1, $2, 1, 0, '[]', 'running', NULL)`;
    const of = await held(other);
    await expect(run(sql, [mine, of])).rejects.toMatchObject({ code: 'HF002' });
    expect((await stores.client.read([of]))[0]).toMatchObject({ pivoted: false });
    await run(sql, [other, of]);
    expect((await stores.client.read([of]))[0]).toMatchObject({ pivoted: true });
  });
});

describe('a claim', () => {
  it('passes over what another one holds, though it is named', async () => {
    const [mine, other] = [await registered(), await registered()];
    const of = await held(other);
    const claim = 'SELECT id FROM holdfast.claim_these_runs($1, ARRAY[$2::uuid], 1000000, 1000000)';
    expect((await run(claim, [mine, of])).rows).toEqual([]);
    expect(await stores.worker.held(other)).toEqual([of]);
  });
});

describe('a cancellation', () => {
  it('holds the run until it is written, so that this does not end meanwhile', async () => {
    const of = await held(await registered());
    const sql = `SELECT holdfast.send_saga_mail($1, 'cancel', '{"kind":"cancel"}', ARRAY['running'], false)`;
    const end = () => run('SELECT FROM holdfast.saga_run WHERE id = $1 FOR NO KEY UPDATE NOWAIT', [of]);
    expect(await besideOpen(sql, [of], end)).toBe(LOCKED);
  });
});

describe('a run that has ended', () => {
  it.each(['completed', 'compensated'] as const)('stays so: %s', async (status) => {
    const worker = await registered();
    const of = await held(worker);
    await stores.worker.commit(worker, [commitOf(of, { update: update(status) })]);
    const move = run(`UPDATE holdfast.saga_run SET status = 'running', finished_at = NULL WHERE id = $1`, [of]);
    await expect(move).rejects.toMatchObject({ code: '23514' });
    const other = status === 'completed' ? 'compensated' : 'completed';
    const turn = run('UPDATE holdfast.saga_run SET status = $2 WHERE id = $1', [of, other]);
    await expect(turn).rejects.toMatchObject({ code: '23514' });
  });

  it.each(['completed', 'compensated', 'stuck'] as const)(
    'or waits for a person, is not due when its worker is taken over: %s',
    async (status) => {
      const worker = await registered();
      const of = await held(worker);
      await run(
        `UPDATE holdfast.saga_run SET status = $2, finished_at = CASE WHEN $2 <> 'stuck' THEN now() END WHERE id = $1`,
        [of, status],
      );
      await stores.expire(worker);
      expect(await stores.other.takeOver()).toMatchObject({ runs: 1 });
      const { rows } = await run('SELECT worker, wake_at, lost FROM holdfast.saga_run WHERE id = $1', [of]);
      expect(rows).toEqual([{ worker: null, wake_at: null, lost: 1 }]);
    },
  );
});

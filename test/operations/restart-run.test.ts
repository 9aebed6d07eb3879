/** A run that has ended, started once more by a person: on a real database, and by a real worker. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Rejection } from '../../src/errors.ts';
import { restartRun } from '../../src/operations/sagas/restart-run.ts';
import { showRun } from '../../src/operations/sagas/sagas.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import type { Duration } from '../../src/runtime/duration.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { pruneSagas } from '../../src/saga/store/postgres/prune-sagas.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { NOBODY } from './lab.ts';
import { emptySagas, seedRun, seedWorker } from './saga-lab.ts';

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
});
beforeEach(async () => {
  await emptySagas(database);
  await database.query('TRUNCATE holdfast.saga_restart');
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

const act = { actor: 'anna', reason: 'the address is mended' };
const rowOf = async (id: string) =>
  (
    await database.query<Record<string, unknown>>(
      `SELECT saga, version, key, status, wake_at <= clock_timestamp() AS due, round(extract(epoch FROM deadline_at - started_at) * 1000)::int AS ms
       FROM holdfast.saga_run WHERE id = $1`,
      [id],
    )
  ).rows[0];
const startedOf = async (id: string) =>
  (
    await database.query<{ text: string }>(
      'SELECT (events -> 0)::text AS text FROM holdfast.saga_journal WHERE saga_id = $1 AND n = 0',
      [id],
    )
  ).rows[0]?.text;
const audit = async () =>
  (await database.query('SELECT actor, action, subject, reason, details FROM holdfast.audit ORDER BY id')).rows;
const compensated = (more: Parameters<typeof seedRun>[1] = {}) =>
  seedRun(database, { status: 'compensated', reason: 'failed', ...more });

const order = (version: number, deadline?: Duration) =>
  saga({
    name: 'place-order',
    version,
    deadline,
    input: z.object({ order: z.string(), copies: z.number().default(version) }),
    steps: {},
    run: async ({ input }) => Promise.resolve(input.order),
  });

describe('a run that has ended', () => {
  it('is started once more with its input, and both know each other', async () => {
    await seedWorker(database, 'w-1');
    const id = await compensated({ key: 'o-1' });
    await database.query(
      `UPDATE holdfast.saga_journal SET events = '[{"t":"started","input":{"order":"o-1","exact":9007199254740993}}]' WHERE saga_id = $1`,
      [id],
    );
    const restarted = await restartRun(database, id, {}, act);
    const { id: newId, ...rest } = restarted;
    expect(rest).toEqual({ of: id, saga: 'place-order', version: 1, key: 'o-1', runnable: true });
    expect(await rowOf(newId)).toEqual({
      saga: 'place-order',
      version: 1,
      key: 'o-1',
      status: 'pending',
      due: true,
      ms: null,
    });
    expect(await rowOf(id)).toMatchObject({ key: null, status: 'compensated' });
    // As it is stored, with a number that JavaScript would alter.
    expect(await startedOf(newId)).toContain('9007199254740993');
    expect((await showRun(database, id)).restarts).toEqual({ of: null, as: newId, keyGone: 'o-1' });
    expect((await showRun(database, newId)).restarts).toEqual({ of: id, as: null, keyGone: null });
    expect(await audit()).toEqual([
      {
        ...act,
        action: 'saga.restart',
        subject: id,
        details: { as: newId, status: 'compensated', version: 1, otherInput: false },
      },
    ]);
  });

  it('is started once: two at the same moment start one, and the second one knows it', async () => {
    const id = await compensated({ key: 'o-1' });
    const both = await Promise.allSettled([restartRun(database, id, {}, act), restartRun(database, id, {}, act)]);
    const [first] = both.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    await expect(restartRun(database, id, {}, act)).rejects.toMatchObject({
      code: 'HF_SAGA_RESTARTED',
      details: { restartedAs: first?.id },
    });
    const { rows } = await database.query('SELECT id FROM holdfast.saga_run');
    expect(rows).toHaveLength(2);
    expect(await audit()).toHaveLength(1);
  });

  it('leaves its key to the one that counts: who asks by it, or starts with it late, gets that one', async () => {
    const id = await compensated({ key: 'o-1' });
    const { id: newId } = await restartRun(database, id, {}, act);
    const sagas = createSagas({ database, sagas: [order(1)] });
    expect((await sagas.find(order(1), 'o-1'))?.id).toBe(newId);
    const late = await sagas.start(sagas.byName('place-order'), { order: 'o-1' } as never, { key: 'o-1' });
    expect({ id: late.id, created: late.created }).toEqual({ id: newId, created: false });
  });

  it('has the time that it had', async () => {
    const id = await compensated();
    await database.query(
      `UPDATE holdfast.saga_run SET deadline_at = (SELECT at FROM holdfast.saga_journal WHERE saga_id = id AND n = 0) + interval '90 s'
       WHERE id = $1`,
      [id],
    );
    const { id: newId } = await restartRun(database, id, {}, act);
    const started = JSON.parse((await startedOf(newId)) ?? '') as { readonly deadlineAt: number };
    const { rows } = await database.query<{ ms: number }>(
      'SELECT (extract(epoch FROM at) * 1000)::float8 AS ms FROM holdfast.saga_journal WHERE saga_id = $1',
      [newId],
    );
    expect(started.deadlineAt - (rows[0]?.ms ?? 0)).toBe(90_000);
    // And a new one where the saga has one by now.
    const { id: other } = await restartRun(database, await compensated(), { sagas: [order(1, '1m')] }, act);
    expect((await rowOf(other))?.['ms']).toBeGreaterThan(59_000);
  });

  it('takes another input, which is checked where the saga is known', async () => {
    const options = { input: { order: 'o-2' }, sagas: [order(1)] };
    const { id } = await restartRun(database, await compensated(), options, act);
    expect(JSON.parse((await startedOf(id)) ?? '')).toEqual({ t: 'started', input: { order: 'o-2', copies: 1 } });
    expect(await audit()).toMatchObject([{ details: { otherInput: true } }]);
    const bad = restartRun(database, await compensated(), { ...options, input: { order: 2 } }, act);
    await expect(bad).rejects.toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
    // JSON's null is an input like any other.
    const { id: none } = await restartRun(database, await compensated(), { input: null }, act);
    expect(await startedOf(none)).toBe('{"t":"started","input":null}');
  });

  it('takes another version, or the newest that there is, and its input is checked by that', async () => {
    const sagas = [order(1), order(2)];
    const second = await restartRun(database, await compensated(), { version: 2, sagas }, act);
    expect(second).toMatchObject({ version: 2, runnable: false });
    expect(JSON.parse((await startedOf(second.id)) ?? '')).toMatchObject({ input: { order: 'o-1', copies: 2 } });
    await seedWorker(database, 'w-3', { sagas: ['place-order@3', 'place-order-now@9'] });
    await seedWorker(database, 'dead', { sagas: ['place-order@8'], leaseIn: -5 });
    const newest = await restartRun(database, await compensated(), { version: 'newest', sagas }, act);
    expect(newest).toMatchObject({ version: 3, runnable: true });
    const unknown = restartRun(database, await compensated({ saga: 'book-trip' }), { version: 'newest' }, act);
    await expect(unknown).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(restartRun(database, await compensated(), { version: 0 }, act)).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
  });
});

describe('what is refused, with nothing written', () => {
  it.each(['pending', 'running', 'waiting', 'compensating', 'stuck'] as const)('a run that is %s', async (status) => {
    const id = await seedRun(database, { status, key: 'o-1' });
    await expect(restartRun(database, id, {}, act)).rejects.toMatchObject({ code: 'HF_SAGA_NOT_ENDED' });
    expect(await rowOf(id)).toMatchObject({ key: 'o-1' });
    expect(await audit()).toEqual([]);
  });

  it('what is not there, a child, no reason, an input that the workers would not take, and one that is forgotten', async () => {
    await expect(restartRun(database, NOBODY, {}, act)).rejects.toMatchObject({ code: 'HF_NOT_FOUND' });
    const parent = randomUUID();
    const child = await compensated({ parent: { id: parent, call: 'ship' } });
    await expect(restartRun(database, child, {}, act)).rejects.toMatchObject({
      code: 'HF_CONFIG',
      details: { parent },
    });
    const id = await compensated({ key: 'o-1' });
    await expect(restartRun(database, id, {}, { ...act, reason: ' ' })).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(restartRun(database, id, { inptu: 1 } as never, act)).rejects.toMatchObject({
      code: 'HF_OPTION_UNKNOWN',
    });
    const worker = await seedWorker(database, 'w-1');
    await database.query('UPDATE holdfast.worker SET max_bytes = 20000 WHERE id = $1', [worker]);
    await expect(restartRun(database, id, { input: 'x'.repeat(20_001) }, act)).rejects.toMatchObject({
      code: 'HF_PAYLOAD_TOO_LARGE',
    });
    await database.query('DELETE FROM holdfast.saga_journal WHERE saga_id = $1', [id]);
    await expect(restartRun(database, id, {}, act)).rejects.toMatchObject({ code: 'HF_CONFIG' });
    expect(await rowOf(id)).toMatchObject({ key: 'o-1' });
    expect(await audit()).toEqual([]);
  });
});

it('does not start it twice when the answer was lost', async () => {
  const id = await compensated({ key: 'o-1' });
  let lost = 0;
  const broken = {
    ...database,
    query: async (text: string, values?: readonly unknown[]) => {
      const answer = await database.query(text, values);
      if (!text.includes('restart_run') || lost > 0) return answer;
      lost += 1;
      throw Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
    },
  } as Database;
  const { id: newId } = await restartRun(broken, id, {}, act);
  expect(lost).toBe(1);
  expect((await showRun(database, id)).restarts.as).toBe(newId);
  expect(await audit()).toHaveLength(1);
});

it('goes when the runs go', async () => {
  const id = await compensated();
  const { id: newId } = await restartRun(database, id, {}, act);
  await database.query(
    `UPDATE holdfast.saga_run SET status = 'completed', wake_at = NULL, finished_at = now() WHERE id = $1`,
    [newId],
  );
  await sleep(5);
  expect(await pruneSagas(database, { olderThanMs: 1 })).toBe(2);
  expect((await database.query('SELECT * FROM holdfast.saga_restart')).rows).toEqual([]);
});

it('is run by a worker as any other', async () => {
  const done: string[] = [];
  let broken = true;
  const buy = saga({
    name: 'buy',
    input: z.object({ order: z.string() }),
    steps: {
      pay: step({
        async run(name: string, { idempotencyKey }) {
          if (broken) throw new Rejection('no such street');
          done.push(`${name} ${idempotencyKey}`);
          return Promise.resolve(name);
        },
      }),
    },
    run: async ({ steps, input }) => steps.pay(input.order),
  });
  const worker = createWorker({ database, sagas: [buy] });
  await worker.start();
  try {
    const first = await worker.sagas.start(buy, { order: 'o-1' }, { key: 'o-1' });
    await expect(first.result({ timeout: '20s' })).rejects.toThrow();
    broken = false;
    const { id } = await restartRun(database, first.id, {}, act);
    await expect(worker.sagas.handle(buy, id).result({ timeout: '20s' })).resolves.toBe('o-1');
    expect(done).toHaveLength(1);
    expect(done[0]).toContain(id);
  } finally {
    await worker.stop();
  }
});

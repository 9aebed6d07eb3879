/**
 * Replies that are stored in groups: one statement for all that have gathered, each with its mark, and what is wrong with one is nothing
 * to the others.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import type { Database } from '../../src/postgres/database.ts';
import { REPLY_CRASH_POINTS } from '../../src/saga/protocol/reply-route.ts';
import { createSagaReplies, type SagaRepliesOptions } from '../../src/saga/protocol/replies.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { delivery, openLab, wire, type Lab } from '../inbox/lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
  // A reply that the database refuses.
  await lab.test.pool.query(`
    CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.body ->> 'call' = 'poison' THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '22023'; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse_poison BEFORE INSERT ON holdfast.saga_mail FOR EACH ROW EXECUTE FUNCTION refuse_poison()`);
});
beforeEach(() =>
  lab.test.pool.query(
    'TRUNCATE holdfast.inbox, holdfast.parked_delivery, holdfast.delivery_attempt, holdfast.saga_mail, holdfast.saga_run',
  ),
);
afterAll(() => lab.dispose());

const DONE = { kind: 'done' };

async function runs(count: number): Promise<readonly string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  await lab.test.pool.query(
    `INSERT INTO holdfast.saga_run (id, saga, version, status) SELECT id, 'place-order', 1, 'waiting' FROM unnest($1::uuid[]) id`,
    [ids],
  );
  return ids;
}

function replies(options: Partial<SagaRepliesOptions> = {}): Consumer {
  return createSagaReplies({
    database: lab.database,
    transport: createMemoryTransport(),
    redeliveryHorizon: '1d',
    random: () => 0,
    ...options,
  });
}

const reply = (runId: string, call = 'reserve'): ReturnType<typeof wire> =>
  wire({ type: 'saga.reply', data: { runId, call, to: 'command', outcome: 'done' } });

async function calls(): Promise<readonly { readonly run: string; readonly call: string }[]> {
  const { rows } = await lab.test.pool.query<{ run: string; call: string }>(
    `SELECT saga_id AS run, body ->> 'call' AS call FROM holdfast.saga_mail ORDER BY id`,
  );
  return rows;
}

/** `database` with its single statements in the hands of the test. */
function watched(query: (ask: () => Promise<unknown>) => Promise<unknown>): Database {
  const { database } = lab;
  return {
    ...database,
    query: ((...args: Parameters<Database['query']>) => query(() => database.query(...args))) as Database['query'],
  };
}

it('all that have gathered go in one statement, in the order in which they came', async () => {
  let statements = 0;
  const database = watched((ask) => ((statements += 1), ask()));
  const ids = await runs(10);
  const consumer = replies({ database });
  const sent = Array.from({ length: 60 }, (_, n) => ({ runId: ids[n % 10] ?? '', call: `call-${n}` }));
  const verdicts = await Promise.all(sent.map(({ runId, call }) => consumer.handle(delivery(reply(runId, call)))));
  expect(verdicts).toEqual(sent.map(() => DONE));
  expect(statements).toBeLessThanOrEqual(3);
  for (const id of ids)
    expect((await calls()).filter(({ run }) => run === id).map(({ call }) => call)).toEqual(
      sent.filter(({ runId }) => runId === id).map(({ call }) => call),
    );
  expect(await lab.count('inbox')).toBe(60);
});

it('what comes twice is stored once: at once, one after the other, and by two consumers', async () => {
  const ids = await runs(20);
  const sent = ids.map((id) => delivery(reply(id)));
  const [first, second] = [replies(), replies()];
  const verdicts = await Promise.all(
    [first, first, second].flatMap((consumer, n) =>
      (n === 2 ? sent.toReversed() : sent).map((each) => consumer.handle(each)),
    ),
  );
  expect(new Set(verdicts.map(({ kind }) => kind))).toEqual(new Set(['done']));
  for (const each of sent) expect(await second.handle(each)).toEqual(DONE);
  expect((await calls()).map(({ run }) => run).toSorted()).toEqual(ids.toSorted());
});

it('one without a run, one that cannot be read and one that the database refuses are parked; the others are stored', async () => {
  const ids = await runs(8);
  const consumer = replies({ handlerWait: 0, retry: { attempts: 1 } });
  const sent = [
    ...ids.slice(0, 4).map((id) => reply(id)),
    reply(randomUUID()),
    reply(ids[0] ?? '', 'poison'),
    reply('nobody'),
    ...ids.slice(4).map((id) => reply(id)),
  ];
  expect(await Promise.all(sent.map((each) => consumer.handle(delivery(each))))).toEqual(sent.map(() => DONE));
  expect((await calls()).map(({ run }) => run).toSorted()).toEqual(ids.toSorted());
  expect((await lab.parked()).map(({ reason }) => reason).toSorted()).toEqual([
    'gave up after retries',
    'no such run here',
    'permanent error',
  ]);
});

it('when the answer is lost, the mark tells: each is stored once', async () => {
  const ids = await runs(10);
  const database = watched(async (ask) => {
    await ask();
    throw Object.assign(new Error('Connection terminated unexpectedly'), { code: 'ECONNRESET' });
  });
  const consumer = replies({ database });
  const sent = ids.map((id) => delivery(reply(id)));
  expect(await Promise.all(sent.map((each) => consumer.handle(each)))).toEqual(sent.map(() => DONE));
  expect((await calls()).map(({ run }) => run).toSorted()).toEqual(ids.toSorted());
});

it('killed at any point, it is stored once', async () => {
  for (const point of REPLY_CRASH_POINTS.flatMap((each) => [`${each}:before`, `${each}:after`])) {
    const ids = await runs(3);
    const sent = ids.map((id) => delivery(reply(id)));
    let reached = false;
    const dying = replies({
      crashPoint(at) {
        if (at !== point) return;
        reached = true;
        throw new Error('killed');
      },
    });
    const ends = await Promise.allSettled(sent.map((each) => dying.handle(each)));
    // Without a worker in the process nothing is handed in.
    if (point !== 'reply.hand:after') {
      expect([point, reached]).toEqual([point, true]);
      expect(new Set(ends.map(({ status }) => status))).toEqual(new Set(['rejected']));
    }
    const next = replies();
    for (const each of sent) expect(await next.handle({ ...each, redeliveries: 1 })).toEqual(DONE);
    const stored = (await calls()).map(({ run }) => run);
    const counts = ids.map((id) => stored.filter((run) => run === id).length);
    expect([point, ...counts]).toEqual([point, 1, 1, 1]);
  }
});

/**
 * Replies on their way into runs: each becomes one mail, in every status of the run.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { INBOX_CRASH_POINTS } from '../../src/inbox/handlers/unit-of-work.ts';
import { createSigner } from '../../src/message/signing.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { noopMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { MOVES, type RunStatus } from '../../src/saga/journal/events.ts';
import { createSagaReplies, type SagaRepliesOptions } from '../../src/saga/protocol/replies.ts';
import type { SagaReply } from '../../src/saga/protocol/wire.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { delivery, openLab, wire, type Lab } from '../inbox/lab.ts';
import { rememberingLogger } from '../support/failing-observers.ts';
import { sharedRedisUrl, uniquePrefix } from '../support/servers.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(async () => {
  await lab.test.pool.query(
    'TRUNCATE holdfast.inbox, holdfast.parked_delivery, holdfast.delivery_attempt, holdfast.saga_mail, holdfast.saga_run',
  );
});
afterAll(() => lab.dispose());

async function run(status: RunStatus): Promise<string> {
  const id = randomUUID();
  await lab.test.pool.query(
    `INSERT INTO holdfast.saga_run (id, saga, version, status, finished_at)
     VALUES ($1, 'place-order', 1, $2::text, CASE WHEN $2::text IN ('completed', 'compensated') THEN now() END)`,
    [id, status],
  );
  return id;
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

function reply(runId: string, rest: Partial<SagaReply> = {}, type = 'saga.reply'): ReturnType<typeof wire> {
  return wire({ type, data: { runId, call: 'reserve', to: 'command', outcome: 'done', ...rest } });
}

async function postRunMessage(): Promise<
  readonly { readonly saga_id: string; readonly kind: string; readonly body: unknown }[]
> {
  return (await lab.test.pool.query('SELECT saga_id, kind, body FROM holdfast.saga_mail ORDER BY id')).rows;
}

it.each(Object.keys(MOVES) as RunStatus[])('reaches a run that is %s, once', async (status) => {
  const runId = await run(status);
  const sent = reply(runId, { output: { reservation: 'r' }, outputVersion: 2 });
  const consumer = replies();
  await consumer.handle(delivery(sent));
  await consumer.handle(delivery(sent));
  const body = {
    kind: 'reply',
    call: 'reserve',
    to: 'command',
    outcome: 'done',
    output: { reservation: 'r' },
    outputVersion: 2,
  };
  expect(await postRunMessage()).toEqual([{ saga_id: runId, kind: 'reply', body }]);
});

it('carries refusals with their error', async () => {
  const runId = await run('waiting');
  const error = { name: 'Rejection', message: 'no', code: 'HF_REJECTED', details: { reason: 'no' } };
  await replies().handle(delivery(reply(runId, { to: 'compensation', outcome: 'rejected', error })));
  expect(await postRunMessage()).toMatchObject([{ body: { to: 'compensation', outcome: 'rejected', error } }]);
});

it('parks what is for no run here, and counts it; parks what is no reply', async () => {
  const counted: string[] = [];
  const metrics: Metrics = {
    ...noopMetrics,
    counter: (name) => ({
      inc: (labels) => {
        if (name === 'holdfast_saga_replies_total') counted.push((labels as { outcome: string }).outcome);
      },
    }),
  };
  const consumer = replies({ metrics, handlerWait: 0 });
  await consumer.handle(delivery(reply(await run('waiting'))));
  await consumer.handle(delivery(reply(randomUUID())));
  await consumer.handle(delivery(reply('nobody')));
  expect(await postRunMessage()).toHaveLength(1);
  expect(counted).toEqual(['delivered', 'stray']);
  expect(await lab.parked()).toMatchObject([
    { topic: 'saga.reply', reason: 'no such run here', error: expect.stringContaining('HF_REPLY_STRAY') as string },
    { topic: 'saga.reply', reason: 'permanent error' },
  ]);
});

it('gives back what may be for another database on the same queue: each reply comes to its run', async () => {
  const other = await openLab();
  onTestFinished(() => other.dispose());
  const redis = { connection: sharedRedisUrl(), prefix: uniquePrefix() };
  const transport = createBullmqTransport(redis);
  onTestFinished(() => transport.close());
  const runs = await Promise.all(
    [lab, other].map(async ({ test }) => {
      const ids = Array.from({ length: 20 }, () => randomUUID());
      await test.pool.query(
        `INSERT INTO holdfast.saga_run (id, saga, version, status) SELECT id, 'place-order', 1, 'waiting' FROM unnest($1::uuid[]) id`,
        [ids],
      );
      return ids;
    }),
  );
  const batch = runs.flat().map((runId) => {
    const { id, text } = reply(runId);
    return { id, topic: 'saga.reply', key: null, destination: 'saga-replies', wire: text, replayId: null };
  });
  await transport.publisher().publish(batch, { signal: new AbortController().signal });
  for (const { database } of [lab, other]) {
    const consumer = replies({ database, transport });
    onTestFinished(() => consumer.stop());
    await consumer.start();
  }
  const delivered = async (): Promise<number> =>
    (await Promise.all([lab, other].map(({ test }) => test.pool.query('SELECT 1 FROM holdfast.saga_mail')))).reduce(
      (sum, { rows }) => sum + rows.length,
      0,
    );
  await expect.poll(delivered, { timeout: 60_000 }).toBe(40);
  for (const [index, { test }] of [lab, other].entries()) {
    const { rows } = await test.pool.query<{ saga_id: string }>('SELECT saga_id FROM holdfast.saga_mail');
    expect(new Set(rows.map((row) => row.saga_id))).toEqual(new Set(runs[index]));
  }
  expect([...(await lab.parked()), ...(await other.parked())]).toEqual([]);
});

it('keeps strays for as long as marks, and no more than there is room for; a start tells of them', async () => {
  const lines: string[] = [];
  const say = (...[, text]: readonly unknown[]): void => void lines.push(String(text));
  const log = { debug: say, info: say, warn: say, error: say, child: () => log } as unknown as Logger;
  const consumer = replies({ handlerWait: 0, log, retention: '10d' });
  await consumer.handle(delivery(reply(randomUUID())));
  await consumer.handle(delivery(reply(randomUUID())));
  onTestFinished(() => consumer.stop());
  await consumer.start();
  expect(lines).toContainEqual(expect.stringContaining('read the same reply queue?'));
  await lab.test.pool.query(
    `UPDATE holdfast.parked_delivery SET parked_at = now() - interval '11 days'
     WHERE message_id = (SELECT message_id FROM holdfast.parked_delivery LIMIT 1)`,
  );
  await lab.test.pool.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason)
     SELECT 'saga-replies', gen_random_uuid(), 'saga.reply', '{}', 'failed', 'no such run here' FROM generate_series(1, 11000)`,
  );
  await lab.test.pool.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason, parked_at)
     VALUES ('saga-replies', gen_random_uuid(), 'saga.reply', '{}', 'failed', 'permanent error', now() - interval '30 days')`,
  );
  await consumer.tickPrune();
  const { rows } = await lab.test.pool.query(
    "SELECT reason, count(*)::int AS n, min(parked_at) > now() - interval '10 days' AS fresh FROM holdfast.parked_delivery GROUP BY 1 ORDER BY 1",
  );
  expect(rows).toEqual([
    { reason: 'no such run here', n: 10_000, fresh: true },
    { reason: 'permanent error', n: 1, fresh: false },
  ]);
});

it('counts signed ones that nobody asked for, on whatever way they come, and says so once', async () => {
  const log = rememberingLogger();
  const counted: unknown[] = [];
  const metrics: Metrics = {
    ...noopMetrics,
    counter: (name) => ({
      inc: (labels) => void (name === 'holdfast_consumer_signatures_total' && counted.push(labels)),
    }),
  };
  const sign = createSigner({ keys: { k1: `whsec_${Buffer.alloc(32, 1).toString('base64')}` } }, 'test');
  const consumer = replies({ log, metrics });
  const runId = await run('waiting');
  for (const call of ['reserve', 'charge']) {
    const { id, text } = reply(runId, { call });
    await consumer.handle(delivery({ text: sign(text, { id, destination: 'saga-replies' }, Date.now()) }));
  }
  await consumer.handle(delivery(reply(runId, { call: 'ship' })));
  expect(await postRunMessage()).toHaveLength(3);
  const unasked = { consumer: 'saga-replies', result: 'unasked' };
  expect(counted).toEqual([unasked, unasked]);
  expect(log.lines.filter(({ message }) => message.includes('no signatures are asked for'))).toHaveLength(1);
});

it('listens to the topic it is given', async () => {
  const consumer = replies({ topic: 'orders.reply', destination: 'orders-replies' });
  const runId = await run('waiting');
  await consumer.handle(delivery(reply(runId)));
  await consumer.handle(delivery(reply(runId, {}, 'orders.reply')));
  expect(await postRunMessage()).toHaveLength(1);
});

it('killed at any point, it brings one mail', async () => {
  const points = INBOX_CRASH_POINTS.filter((point) => /^inbox\.(?!park|window)/.test(point));
  for (const point of points.flatMap((each) => [`${each}:before`, `${each}:after`])) {
    const sent = reply(await run('waiting'));
    const dying = replies({
      crashPoint: (at) => {
        if (at === point) throw new Error('killed');
      },
    });
    await dying.handle(delivery(sent, { redeliveries: 1 })).catch(() => {});
    await replies().handle(delivery(sent, { redeliveries: 2 }));
  }
  expect(await postRunMessage()).toHaveLength(points.length * 2);
});

it('refuses options it has no use for', () => {
  const bad = {
    database: lab.database,
    transport: createMemoryTransport(),
    handlers: [],
  } as unknown as SagaRepliesOptions;
  expect(() => createSagaReplies(bad)).toThrow(expect.objectContaining({ code: 'HF_OPTION_UNKNOWN' }));
  expect(() => replies({ topic: 'no topic' })).toThrow(expect.objectContaining({ code: 'HF_MESSAGE_TYPE' }));
});

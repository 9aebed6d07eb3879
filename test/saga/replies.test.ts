/**
 * Replies on their way into runs: each becomes one mail, in every status of the run.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { INBOX_CRASH_POINTS } from '../../src/inbox/work.ts';
import { noopMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { MOVES, type RunStatus } from '../../src/saga/events.ts';
import { sagaReplies, type SagaRepliesOptions } from '../../src/saga/replies.ts';
import type { SagaReply } from '../../src/saga/wire.ts';
import { memoryTransport } from '../../src/transport/memory.ts';
import { delivery, openLab, wire, type Lab } from '../inbox/lab.ts';

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
  return sagaReplies({
    database: lab.database,
    transport: memoryTransport(),
    redeliveryHorizon: '1d',
    random: () => 0,
    ...options,
  });
}

function reply(runId: string, rest: Partial<SagaReply> = {}, type = 'saga.reply'): ReturnType<typeof wire> {
  return wire({ type, data: { runId, call: 'reserve', to: 'command', outcome: 'done', ...rest } });
}

async function mail(): Promise<readonly { readonly saga_id: string; readonly kind: string; readonly body: unknown }[]> {
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
  expect(await mail()).toEqual([{ saga_id: runId, kind: 'reply', body }]);
});

it('carries refusals with their error', async () => {
  const runId = await run('waiting');
  const error = { name: 'Rejection', message: 'no', code: 'HF_REJECTED', details: { reason: 'no' } };
  await replies().handle(delivery(reply(runId, { to: 'compensation', outcome: 'rejected', error })));
  expect(await mail()).toMatchObject([{ body: { to: 'compensation', outcome: 'rejected', error } }]);
});

it('drops what is for no run here, and counts it; parks what is no reply', async () => {
  const counted: string[] = [];
  const metrics: Metrics = {
    ...noopMetrics,
    counter: (name) => ({
      inc: (labels) => {
        if (name === 'holdfast_saga_replies_total') counted.push((labels as { outcome: string }).outcome);
      },
    }),
  };
  const consumer = replies({ metrics });
  await consumer.handle(delivery(reply(await run('waiting'))));
  await consumer.handle(delivery(reply(randomUUID())));
  await consumer.handle(delivery(reply('nobody')));
  expect(await mail()).toHaveLength(1);
  expect(counted).toEqual(['delivered', 'dropped']);
  expect(await lab.parked()).toMatchObject([{ topic: 'saga.reply', reason: 'permanent error' }]);
});

it('listens to the topic it is given', async () => {
  const consumer = replies({ topic: 'orders.reply', destination: 'orders-replies' });
  const runId = await run('waiting');
  await consumer.handle(delivery(reply(runId)));
  await consumer.handle(delivery(reply(runId, {}, 'orders.reply')));
  expect(await mail()).toHaveLength(1);
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
  expect(await mail()).toHaveLength(points.length * 2);
});

it('refuses options it has no use for', () => {
  const bad = { database: lab.database, transport: memoryTransport(), handlers: [] } as unknown as SagaRepliesOptions;
  expect(() => sagaReplies(bad)).toThrow(expect.objectContaining({ code: 'HF_OPTION_UNKNOWN' }));
  expect(() => replies({ topic: 'no topic' })).toThrow(expect.objectContaining({ code: 'HF_MESSAGE_TYPE' }));
});

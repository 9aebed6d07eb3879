/**
 * Every service can be stopped and started again, in any overlap, and does its work afterwards: relay, worker, consumer, participant, and
 * the way of replies.
 */
import { randomUUID } from 'node:crypto';
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { createRelay } from '../../src/relay/relay.ts';
import type { Service } from '../../src/runtime/service.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { createSagaReplies } from '../../src/saga/protocol/replies.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import { createMemoryBroker, createMemoryTransport } from '../../src/transport/memory.ts';
import type { Transport } from '../../src/transport/port.ts';
import { Placed, wire } from '../inbox/lab.ts';
import { note, openStockLab, Reserve, sent, type StockLab } from '../saga/participant-lab.ts';
import { eventually } from '../support/eventually.ts';
import { sharedRedisUrl, uniquePrefix } from '../support/servers.ts';

let lab: StockLab;
beforeAll(async () => {
  lab = await openStockLab();
});
afterAll(() => lab.dispose());

interface Case {
  readonly service: Service;
  /** Gives it something to do, and resolves once that is done. */
  readonly work: () => Promise<void>;
}

const never = new AbortController().signal;

/** Puts it into the queue, past the outbox. */
async function put(transport: Transport, destination: string, text: string): Promise<void> {
  const { id, type } = JSON.parse(text) as { id: string; type: string };
  const [outcome] = await transport
    .publisher()
    .publish([{ id, topic: type, key: null, destination, wire: text, replayId: null }], { signal: never });
  expect(outcome).toEqual({ kind: 'published' });
}

async function seen(what: string, sql: string, parameter: string): Promise<void> {
  await eventually(what, async () => ((await lab.test.pool.query(sql, [parameter])).rowCount ?? 0) > 0);
}

/** What comes out of the relay is told by a receiver of its own. */
async function relay(make: () => Transport): Promise<Case> {
  const [publishing, receiving] = [make(), make()];
  const out = new Set<string>();
  const destination = `all-${randomUUID()}`;
  const receiver = receiving.receiver(
    destination,
    async ({ wire: text }) => {
      out.add((JSON.parse(String(text)) as { id: string }).id);
      return { kind: 'done' };
    },
    { concurrency: 10, ordered: false },
  );
  await receiver.start();
  onTestFinished(async () => {
    await Promise.all([publishing.close(), receiving.close()]);
  });
  const outbox = createOutbox();
  return {
    service: createRelay({
      database: lab.database,
      subscriptions: [{ name: destination, transport: publishing, routes: [{ topics: '**', to: destination }] }],
    }),
    async work() {
      const { id } = await lab.database.transaction((tx) => outbox.send(tx, Placed, { orderId: 'o', n: 1 }));
      await eventually(`message ${id} to come out`, async () => out.has(id));
    },
  };
}

async function worker(): Promise<Case> {
  const greet = saga({
    name: 'greet',
    input: z.string(),
    steps: {
      note: transaction({
        async run(text: string, { tx }) {
          await tx.query('INSERT INTO effect (id, note) VALUES (gen_random_uuid(), $1)', [text]);
          return text;
        },
      }),
    },
    run: ({ input, steps }) => steps.note(input),
  });
  const service = createWorker({
    database: lab.database,
    sagas: [greet],
    replies: { transport: createMemoryTransport() },
    idlePoll: '20ms',
    random: () => 0,
  });
  // As a service does that keeps it: the door must be the same after a restart.
  const { sagas } = service;
  return {
    service,
    async work() {
      const text = randomUUID();
      const run = await sagas.start(greet, text);
      expect(await run.result({ timeout: '60s' })).toBe(text);
      const { rows } = await lab.test.pool.query('SELECT note FROM effect WHERE note = $1', [text]);
      expect(rows).toHaveLength(1);
    },
  };
}

async function consumer(): Promise<Case> {
  const transport = createMemoryTransport();
  return {
    service: lab.make({
      transport,
      ordered: true,
      handlers: [
        on(Placed, async ({ orderId }, { tx }: HandlerContext<PoolClient>) => {
          await note(tx, orderId);
        }),
      ],
    }),
    async work() {
      const orderId = randomUUID();
      await put(transport, 'shipping', wire({ data: { orderId, n: 1 } }).text);
      await seen('the effect', 'SELECT 1 FROM effect WHERE note = $1', orderId);
    },
  };
}

async function participant(): Promise<Case> {
  const transport = createMemoryTransport();
  return {
    service: lab.participant({ transport }),
    async work() {
      const runId = randomUUID();
      await put(transport, 'stock', String(sent({ runId, type: Reserve.topic }).wire));
      await seen('the answer', `SELECT 1 FROM holdfast.outbox WHERE payload ->> 'runId' = $1`, runId);
    },
  };
}

async function replies(): Promise<Case> {
  const transport = createMemoryTransport();
  return {
    service: createSagaReplies({ database: lab.database, transport, redeliveryHorizon: '1d', random: () => 0 }),
    async work() {
      const runId = randomUUID();
      await lab.test.pool.query(
        `INSERT INTO holdfast.saga_run (id, saga, version, status) VALUES ($1, 'place-order', 1, 'waiting')`,
        [runId],
      );
      const data = { runId, call: 'reserve', to: 'command', outcome: 'done' };
      await put(transport, 'saga-replies', wire({ type: 'saga.reply', data }).text);
      await seen('the mail', 'SELECT 1 FROM holdfast.saga_mail WHERE saga_id = $1', runId);
    },
  };
}

const cases: readonly (readonly [string, () => Promise<Case>])[] = [
  [
    'relay to the memory transport',
    () => {
      const broker = createMemoryBroker();
      return relay(() => createMemoryTransport({ broker }));
    },
  ],
  [
    'relay to BullMQ',
    () => {
      const prefix = uniquePrefix();
      return relay(() => createBullmqTransport({ connection: sharedRedisUrl(), prefix }));
    },
  ],
  ['worker', worker],
  ['consumer', consumer],
  ['participant', participant],
  ['way of replies', replies],
];

describe.each(cases)('the %s', (_name, open) => {
  async function opened(): Promise<Case> {
    const made = await open();
    onTestFinished(() => made.service.stop({ signal: AbortSignal.timeout(5_000) }));
    return made;
  }

  it('does its work after a stop and a start, as often as you like', async () => {
    const { service, work } = await opened();
    await service.stop();
    for (let round = 0; round < 3; round += 1) {
      await service.start();
      await work();
      await service.stop();
    }
  });

  it('takes each call once', async () => {
    const { service, work } = await opened();
    await Promise.all([service.start(), service.start()]);
    await service.start();
    await work();
    await Promise.all([service.stop(), service.stop()]);
    await service.stop();
    await service.start();
    await work();
  });

  it('is started by a start during its stop', async () => {
    const { service, work } = await opened();
    await service.start();
    const stopped = service.stop();
    await service.start();
    await stopped;
    await work();
    // And what was asked for last holds, however many calls there were.
    await Promise.all([service.stop(), service.start(), service.stop(), service.start()]);
    await work();
  });

  it('is ended by a stop during its start', async () => {
    const { service, work } = await opened();
    const started = service.start();
    await service.stop();
    await started;
    await nothingListens();
    await service.start();
    await work();
  });

  it('can be started again after a start that failed', async () => {
    const { service, work } = await opened();
    await lab.reachable(false);
    try {
      await expect(Promise.all([service.start(), service.start()])).rejects.toThrow();
    } finally {
      await lab.reachable(true);
    }
    await nothingListens();
    await service.start();
    await work();
  });

  it('does its work after a hard stop', async () => {
    const { service, work } = await opened();
    await service.start();
    await work();
    await service.stop({ signal: AbortSignal.abort() });
    await service.start();
    await work();
  });
});

/** Resolves once no part is left that listens for wake-ups; the server takes a moment to see its connection off. */
async function nothingListens(): Promise<void> {
  await eventually('the listening connections to be gone', async () => {
    const found = await lab.test.pool
      .query(`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'`)
      // A connection that was cut before may be handed out once more, when this process has not yet read of it.
      .catch(() => null);
    return found?.rowCount === 0;
  });
}

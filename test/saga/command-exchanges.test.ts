/**
 * What one command and its reply cost on the wire to PostgreSQL, of all that take part: participant, relay, worker, consumer of replies.
 * Counted by a proxy, alone and with many in flight. Bounds may fall, and must not rise.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { createWorker, type Worker } from '../../src/saga/worker/worker.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { startWireCounter, type Passed, type WireCounter } from '../support/wire-counter.ts';

const Ask = message('ask', { schema: z.object({ n: z.number() }) });
const Answer = message('answer', { schema: z.object({ n: z.number() }) });
const COMMANDS = 3;
/** A worker that has found nothing for so long looks once a second. */
const ASLEEP_MS = 1_300;

const asking = saga({
  name: 'asking',
  input: z.object({}),
  steps: { ask: command(Ask, { reply: Answer, pivot: true }) },
  async run({ steps }) {
    for (let n = 0; n < COMMANDS; n += 1) await steps.ask({ n }, { id: `ask-${n}` });
  },
});

let test: TestDatabase;
let wire: WireCounter;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  wire = await startWireCounter(test.url);
  database = openDatabase({ url: wire.url, max: 20 });
  await database.query('CREATE TABLE answered (n int NOT NULL)');
});
afterAll(async () => {
  await database.close();
  await wire.close();
  await test.drop();
});

interface Cost {
  readonly exchanges: number;
  readonly statements: number;
  /** Of the worker, for run messages. */
  readonly looks: number;
}

/** Of one command and its reply. `runs`: of one loop, of which so many are in flight. */
async function costOf(inflight: number, runs: number, { batch }: { readonly batch: boolean }): Promise<Cost> {
  const [commands, replies] = [randomUUID(), randomUUID()];
  const transport = createMemoryTransport();
  let pages = 0;
  const services = createParticipant(`services-${commands}`, {
    transport,
    database,
    destination: commands,
    concurrency: 16,
    batch,
    handlers: [
      handle(Ask, { reply: Answer }, async ({ n }, { tx }) => {
        await tx.query('INSERT INTO answered (n) VALUES ($1)', [n]);
        return { n };
      }),
    ],
  });
  const relay = createRelay({
    database,
    subscriptions: [
      {
        name: 'all',
        transport,
        from: 'now',
        routes: [
          { topics: 'ask', to: commands },
          { topics: 'saga.reply', to: replies },
        ],
      },
    ],
    crashPoint: (point) => (pages += point === 'relay.publish:before' ? 1 : 0),
  });
  const worker = createWorker({ database, sagas: [asking], replies: { transport, destination: replies } });
  await Promise.all([services.start(), relay.start(), worker.start()]);
  await all(worker, inflight, 1);
  await sleep(ASLEEP_MS);
  wire.take();
  pages = 0;
  await all(worker, inflight, runs);
  const passed = wire.take();
  const cost = costPer(inflight * runs * COMMANDS, passed, pages);
  await worker.stop();
  await Promise.all([services.stop(), relay.stop()]);
  await transport.close();
  return cost;
}

async function all(worker: Worker, inflight: number, runs: number): Promise<void> {
  const loop = async (): Promise<void> => {
    for (let n = 0; n < runs; n += 1) await (await worker.sagas.start(asking, {})).result();
  };
  await Promise.all(Array.from({ length: inflight }, loop));
}

/**
 * What a command and its reply lead to. What goes on by the clock, whatever the number of messages, is left out: looks, leases, cursors. A look
 * of the relay at its log counts when it found something.
 */
const PATH = /enter_call|answered|end_call|commit_runs|saga_reply|savepoint/i;
const LOOK_OF_WORKER = /pending_saga_mail/;

function costPer(commandCount: number, passed: readonly Passed[], pages: number): Cost {
  const of = (pattern: RegExp): readonly Passed[] =>
    passed.filter(({ statements }) => statements.some((text) => pattern.test(text)));
  const path = of(PATH);
  return {
    exchanges: (path.length + pages) / commandCount,
    statements: (path.reduce((sum, { statements }) => sum + statements.length, 0) + pages) / commandCount,
    looks: of(LOOK_OF_WORKER).length / commandCount,
  };
}

it('is three exchanges for the participant, two pages of the relay, and a commit of the worker, for one command alone', async () => {
  const { exchanges, statements, looks } = await costOf(1, 10, { batch: false });
  // A run of three commands has four commits.
  expect(exchanges).toBeLessThan(6.5);
  expect(statements).toBeLessThan(8.5);
  // It has found nothing for so long that it looks once a second; that a command waits for its reply is no reason to look.
  expect(looks).toBeLessThan(0.5);
});

it('shares pages and commits with many in flight', async () => {
  const { exchanges, statements } = await costOf(64, 5, { batch: false });
  expect(exchanges).toBeLessThan(4);
  expect(statements).toBeLessThan(6);
});

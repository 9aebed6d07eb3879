/**
 * Three commands, one after the other, to a participant behind BullMQ on Redis, which writes a row exactly once for each and answers.
 * Both sides, and what is between them, are in one process and one database.
 */
import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { PoolClient } from 'pg';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import type { Database } from '../../src/postgres/database.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { createBullmqTransport } from '../../src/transport/bullmq/redis-transport.ts';
import type { Contestant, ContestantOptions } from './contestant.ts';
import { HAND_WRITTEN_SAGA_SCHEMA, runByHand, type SagaByHand } from '../rivals/hand-written-saga.ts';
import { INBOX_SCHEMA, INBOX_TABLE } from '../rivals/inbox-loop.ts';
import type { HopNotes } from '../support/hop-notes.ts';
import { check } from './local.ts';
import { ENTRIES, writeEntry } from './transaction.ts';

/** Commands, and replies, in hand at the same time. */
const CONCURRENCY = 16;
/** With `batch` these are transactions, of up to twenty commands each. */
const BATCH_CONCURRENCY = 4;

const Done = message('bench.done', { schema: z.object({ name: z.string(), cents: z.number() }) });
const commandType = (name: string) => message(`bench.${name}`, { schema: z.object({ run: z.number() }) });
const [Reserve, Charge, Ship] = [commandType('reserve'), commandType('charge'), commandType('ship')];

/** Nothing is compensated here, so nothing needs a compensation: all three are behind the pivot that the first one is. */
const threeCommands = saga({
  name: 'three-commands',
  input: z.object({ run: z.number() }),
  steps: {
    reserve: command(Reserve, { reply: Done, pivot: true }),
    charge: command(Charge, { reply: Done }),
    ship: command(Ship, { reply: Done }),
  },
  async run({ input: { run }, steps }) {
    const reserved = await steps.reserve({ run });
    const charged = await steps.charge({ run });
    const shipped = await steps.ship({ run });
    return { run, total: reserved.cents + charged.cents + shipped.cents };
  },
});

interface CommandSagaOptions {
  /** Of the participant: several commands in one transaction. */
  readonly batch?: boolean;
  /** Told when what happens (trace.ts). */
  readonly notes?: HopNotes;
}

export async function commandSaga(
  { database, redisUrl }: ContestantOptions,
  { batch = false, notes }: CommandSagaOptions = {},
): Promise<Contestant> {
  await database.query(ENTRIES);
  const bullmq = createBullmqTransport({ connection: redisOf(redisUrl) });
  const transport = notes?.over(bullmq) ?? bullmq;
  const seams = notes === undefined ? {} : { crashPoint: notes.crashPoint };
  // Others on the same Redis have other databases; whoever comes to this one again is the same consumer.
  const { rows } = await database.query<{ name: string }>('SELECT current_database() AS name');
  const [commands, replies] = [`commands-${rows[0]?.name}`, `replies-${rows[0]?.name}`];
  const answer = (type: typeof Reserve, name: string) =>
    handle(type, { reply: Done }, async ({ run }, { tx, message: { id } }) => {
      notes?.note('handler:before', id);
      const written = await writeEntry(tx, name, run);
      notes?.note('handler:after', id);
      return written;
    });
  const services = createParticipant('services', {
    transport,
    database,
    destination: commands,
    concurrency: batch ? BATCH_CONCURRENCY : CONCURRENCY,
    batch,
    handlers: [answer(Reserve, 'reserve'), answer(Charge, 'charge'), answer(Ship, 'ship')],
    ...seams,
  });
  const relay = createRelay({
    ...seams,
    database,
    subscriptions: [
      {
        name: 'commands',
        transport,
        routes: [
          { topics: 'bench.**', to: commands },
          { topics: 'saga.reply', to: replies },
        ],
      },
    ],
  });
  const worker = createWorker({
    database,
    sagas: [threeCommands],
    replies: { transport, destination: replies },
    ...seams,
  });
  await Promise.all([services.start(), relay.start(), worker.start()]);
  return {
    async run(n) {
      notes?.note('run:started');
      const run = await worker.sagas.start(threeCommands, { run: n });
      check(await run.result(), n);
      notes?.note('run:ended');
    },
    commits: () => worker.progress.commits,
    async close() {
      await worker.stop();
      await Promise.all([services.stop(), relay.stop()]);
      await transport.close();
    },
  };
}

interface CommandByHand {
  readonly id: string;
  readonly name: string;
  readonly run: number;
}

interface ReplyByHand {
  readonly to: string;
  readonly result: { readonly name: string; readonly cents: number };
}

/**
 * As people write it who have no outbox: the command goes to its queue, the participant handles it behind an inbox of its own and puts
 * the reply into another queue, and the reply's result is committed before the next command goes out. A crash between a commit and
 * what is sent after it loses the message, and a lost reply is waited for in vain.
 */
export async function commandByHand({ database, redisUrl }: ContestantOptions): Promise<Contestant> {
  await database.query(`${HAND_WRITTEN_SAGA_SCHEMA}; ${INBOX_SCHEMA}; ${ENTRIES}`);
  const connections: Redis[] = [];
  const connect = (): Redis => {
    const connection = new Redis(redisOf(redisUrl), { maxRetriesPerRequest: null });
    connections.push(connection);
    return connection;
  };
  const jobs = { removeOnComplete: true, removeOnFail: true };
  const [commandsName, repliesName] = [`commands-${randomUUID()}`, `replies-${randomUUID()}`];
  const commands = new Queue<CommandByHand>(commandsName, { connection: connect(), defaultJobOptions: jobs });
  const replies = new Queue<ReplyByHand>(repliesName, { connection: connect(), defaultJobOptions: jobs });
  const awaited = new Map<string, (result: ReplyByHand['result']) => void>();
  const options = () => ({ connection: connect(), concurrency: CONCURRENCY });
  const service = new Worker<CommandByHand>(
    commandsName,
    async ({ data }) => {
      const result = await once(database, data.id, (client) => writeEntry(client, data.name, data.run));
      await replies.add('reply', { to: data.id, result });
    },
    options(),
  );
  const receiver = new Worker<ReplyByHand>(
    repliesName,
    async ({ data }) => {
      awaited.get(data.to)?.(data.result);
      awaited.delete(data.to);
    },
    options(),
  );
  const ask = async (name: string, run: number): Promise<ReplyByHand['result']> => {
    const id = randomUUID();
    const replied = new Promise<ReplyByHand['result']>((resolve) => awaited.set(id, resolve));
    await commands.add(name, { id, name, run });
    return replied;
  };
  const threeByHand: SagaByHand<{ run: number }, { run: number; total: number }> = {
    name: 'three-commands',
    async run(step, { run }) {
      let total = 0;
      for (const name of ['reserve', 'charge', 'ship']) {
        const { cents } = await step(name, () => ask(name, run));
        total += cents;
      }
      return { run, total };
    },
  };
  await Promise.all([service.waitUntilReady(), receiver.waitUntilReady()]);
  return {
    async run(n) {
      check(await runByHand(database.pool, threeByHand, randomUUID(), { run: n }), n);
    },
    commits: () => 0,
    async close() {
      await Promise.all([service.close(), receiver.close(), commands.close(), replies.close()]);
      for (const connection of connections) connection.disconnect();
    },
  };
}

/** The inbox of people who write it by hand: mark and effect in one transaction. */
async function once<T>(database: Database, id: string, effect: (client: PoolClient) => Promise<T>): Promise<T> {
  return database.transaction(async (client) => {
    const { rowCount } = await client.query(
      `INSERT INTO ${INBOX_TABLE} (consumer, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
      ['by-hand', id],
    );
    if (rowCount !== 1) throw new Error('nothing is delivered twice here');
    return effect(client);
  });
}

function redisOf(url: string | null): string {
  if (url === null) throw new TypeError('commands need Redis');
  return url;
}

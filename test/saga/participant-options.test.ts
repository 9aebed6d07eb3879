/**
 * What participants refuse before they start, how long they keep their records, their way through broker and relay, and participants
 * on another client than node-postgres.
 */
import { Kysely, PostgresDialect, type Transaction } from 'kysely';
import { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Rejection } from '../../src/errors.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { createRelay } from '../../src/relay/relay.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import type { DatabaseParticipantOptions } from '../../src/saga/participant/participant-options.ts';
import { createSagaReplies } from '../../src/saga/protocol/replies.ts';
import { readSagaCall, writeSagaCall } from '../../src/saga/protocol/wire.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { eventually } from '../support/eventually.ts';
import { openStockLab, Release, Reserve, reservation, Reserved, RUN, sent, type StockLab } from './participant-lab.ts';

let lab: StockLab;
beforeAll(async () => {
  lab = await openStockLab();
});
beforeEach(() => lab.clean());
afterAll(() => lab.dispose());

const reserve = handle(Reserve, { reply: Reserved }, () => reservation);
const release = handle(Release, { compensates: Reserve }, () => {});

describe('refused at once', () => {
  it.each<[string, Partial<DatabaseParticipantOptions>, string]>([
    ['no handlers', { handlers: [] }, 'has no handlers'],
    ['what handle did not make', { handlers: [on(Reserve, () => {})] as never }, 'not made by handle'],
    ['a topic twice', { handlers: [reserve, reserve] }, 'handles stock.reserve twice'],
    ['a compensation alone', { handlers: [release] }, 'does not handle that'],
    [
      'a compensation of a compensation',
      { handlers: [reserve, release, handle(Reserved, { compensates: Release }, () => {})] },
      'does not handle that',
    ],
    [
      'two compensations',
      { handlers: [reserve, release, handle(Reserved, { compensates: Reserve }, () => {})] },
      'two compensations for stock.reserve',
    ],
    [
      'a reply that is another one',
      { handlers: [reserve, handle(Release, { compensates: Reserve, reply: Release }, () => {})] },
      'answered with stock.reserved',
    ],
    ['records kept too briefly', { callRetention: '1d' }, 'callRetention'],
  ])('%s', (_, options, words) => {
    expect(() => lab.participant(options)).toThrow(
      expect.objectContaining({ code: 'HF_SAGA_DEFINITION', message: expect.stringContaining(words) as string }),
    );
  });

  it('options and handlers that are mistyped', () => {
    expect(() => lab.participant({ retrys: {} } as never)).toThrow('Did you mean "retry"?');
    expect(() => lab.participant({ window: {} } as never)).toThrow('has no option "window"');
    expect(() => handle(Reserve, { replies: Reserved } as never, () => {})).toThrow('has no option "replies"');
    expect(() => handle('stock.reserve' as never, () => {})).toThrow('no message type');
    expect(() => handle(Reserve, { reply: 'yes' as never }, () => {})).toThrow('a reply that is no message type');
    expect(() => handle(Reserve, {}, undefined as never)).toThrow('has no handler');
  });
});

it('the headers of a call come back as they were written', () => {
  const command = { runId: RUN, call: 'a:b', role: 'command', replyTo: 'x.y', outcome: null } as const;
  const compensation = { ...command, role: 'compensation', outcome: 'done' } as const;
  expect(readSagaCall(writeSagaCall(command))).toEqual(command);
  expect(readSagaCall(writeSagaCall(compensation))).toEqual(compensation);
  expect(readSagaCall({ 'holdfast-saga': RUN, 'holdfast-call': 'c' })).toMatchObject({
    role: 'command',
    replyTo: 'saga.reply',
  });
});

it('records of effects outlive those of none', async () => {
  await lab.test.pool.query(
    `INSERT INTO holdfast.participant_call (participant, saga_id, call, state, at)
     SELECT p, gen_random_uuid(), s || d, s, now() - d * interval '1 day'
     FROM unnest(ARRAY['stock', 'other']) p, unnest(ARRAY['done', 'rejected', 'compensated', 'tombstone']) s, unnest(ARRAY[13, 15, 364, 366]) d`,
  );
  await lab.participant().tickPrune();
  const { rows } = await lab.test.pool.query<{ call: string }>(
    `SELECT call FROM holdfast.participant_call WHERE participant = 'stock' ORDER BY call`,
  );
  expect(rows.map(({ call }) => call)).toEqual([
    'compensated13',
    'compensated15',
    'compensated364',
    'done13',
    'done15',
    'done364',
    'rejected13',
    'tombstone13',
  ]);
  const others = await lab.test.pool.query(`SELECT 1 FROM holdfast.participant_call WHERE participant = 'other'`);
  expect(others.rows).toHaveLength(16);
});

it('the age of a record counts anew when its command is compensated', async () => {
  const stock = lab.participant();
  await stock.handle(sent());
  await lab.test.pool.query(`UPDATE holdfast.participant_call SET at = now() - interval '366 days'`);
  await stock.handle(sent({ role: 'compensation' }));
  await stock.tickPrune();
  expect(await lab.calls()).toMatchObject([{ state: 'compensated' }]);
});

it('starts and stops as a service, and takes what comes by its transport', async () => {
  const transport = createMemoryTransport();
  const stock = lab.participant({ transport });
  onTestFinished(() => stock.stop());
  await stock.stop();
  await stock.start();
  await stock.start();
  const { wire } = sent();
  const publisher = transport.publisher();
  const { id } = JSON.parse(String(wire)) as { id: string };
  const message = { id, topic: Reserve.topic, destination: 'stock', key: null, wire: String(wire), replayId: null };
  await publisher.publish([message], { signal: new AbortController().signal });
  await expect.poll(() => lab.replies()).toHaveLength(1);
  await stock.stop();
  await stock.stop();
});

it('a command travels to the participant and its answer back to the run, by relay and outbox', async () => {
  const transport = createMemoryTransport();
  const relay = createRelay({
    database: lab.database,
    subscriptions: [
      {
        name: 'main',
        transport,
        routes: [
          { topics: 'stock.**', to: 'stock' },
          { topics: 'saga.reply', to: 'saga-replies' },
        ],
      },
    ],
  });
  const services = [lab.participant({ transport }), createSagaReplies({ database: lab.database, transport }), relay];
  onTestFinished(async () => void (await Promise.all(services.map((service) => service.stop()))));
  await lab.test.pool.query(
    `INSERT INTO holdfast.saga_run (id, saga, version, status) VALUES ($1, 's', 1, 'waiting')`,
    [RUN],
  );
  for (const service of services) await service.start();
  const headers = writeSagaCall({ runId: RUN, call: 'reserve', role: 'command', replyTo: 'saga.reply', outcome: null });
  const command = { sku: 'book', count: 2 };
  await lab.database.transaction((tx) => createOutbox().send(tx, Reserve, command, { headers, correlationId: RUN }));
  const runMessages = await eventually('mail for the run', async () => {
    const { rows } = await lab.test.pool.query<{ body: unknown }>('SELECT body FROM holdfast.saga_mail');
    return rows.length > 0 && rows;
  });
  expect(runMessages).toMatchObject([
    { body: { call: 'reserve', to: 'command', outcome: 'done', output: reservation } },
  ]);
  expect(await lab.notes()).toEqual(['reserve book']);
});

describe('on Kysely', () => {
  interface Tables {
    effect: { id: string; note: string };
  }

  it('answers, refuses, compensates and buries as on node-postgres', async () => {
    const pool = new Pool({ connectionString: lab.test.url, max: 4 });
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    onTestFinished(() => db.destroy());
    let works = true;
    const write = (tx: Transaction<Tables>, note: string): Promise<unknown> =>
      tx.insertInto('effect').values({ id: crypto.randomUUID(), note }).execute();
    const stock = createParticipant<Transaction<Tables>>('stock', {
      runner: { transaction: (fn) => db.transaction().execute(fn) },
      transport: createMemoryTransport(),
      handlers: (handleTx) => [
        handleTx(Reserve, { reply: Reserved }, async ({ sku }, { tx, send }) => {
          await write(tx, sku);
          await send(Release, { sku, count: 1 });
          if (!works) throw new Rejection('sold out');
          return reservation;
        }),
        handleTx(Release, { compensates: Reserve, reply: Reserved }, (_release, { tx, reply }) =>
          write(tx, `compensate ${reply?.reservation}`),
        ),
      ],
    });
    await stock.handle(sent());
    await stock.handle(sent());
    await stock.handle(sent({ role: 'compensation' }));
    works = false;
    await stock.handle(sent({ call: 'other' }));
    await stock.handle(sent({ call: 'third', role: 'compensation' }));
    await stock.tickPrune();
    expect(await lab.notes()).toEqual(['book', 'compensate r-2']);
    expect((await lab.replies()).map(({ call, to, outcome }) => `${call} ${to} ${outcome}`)).toEqual([
      'reserve command done',
      'reserve command done',
      'reserve compensation done',
      'other command rejected',
      'third compensation done',
    ]);
    const { rows } = await lab.test.pool.query(`SELECT 1 FROM holdfast.outbox WHERE topic = 'stock.release'`);
    expect(rows).toHaveLength(1);
  });
});

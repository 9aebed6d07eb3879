/**
 * A participant's transaction is three exchanges with the server: its beginning, what the handler does, and its end with COMMIT. What these
 * texts cost, and what happens when they are refused, cut, or when somebody comes between a refusal and its record.
 */
import pg, { type PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Rejection } from '../../src/errors.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { handle, type ParticipantHandler } from '../../src/saga/participant/handle.ts';
import { createParticipant, type Participant } from '../../src/saga/participant/participant.ts';
import { createParticipantStore } from '../../src/saga/participant/participant-store.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { signal } from '../inbox/lab.ts';
import { eventually } from '../support/eventually.ts';
import { isCommit, startTcpProxy, type Fate } from '../support/faults/tcp-proxy.ts';
import {
  note,
  openStockLab,
  Release,
  Reserve,
  reservation,
  Reserved,
  sent,
  type CommandOptions,
  type StockLab,
} from './participant-lab.ts';

const DONE = { kind: 'done' };
let lab: StockLab;
beforeAll(async () => {
  lab = await openStockLab();
});
beforeEach(() => lab.clean());
afterAll(() => lab.dispose());

/** The texts that go to the server while a message is handled, in order. */
async function textsOf(work: () => Promise<unknown>): Promise<readonly string[]> {
  const texts: string[] = [];
  const query = vi.spyOn(pg.Client.prototype, 'query');
  try {
    await work();
    for (const [first] of query.mock.calls as unknown as readonly (readonly unknown[])[])
      texts.push(typeof first === 'string' ? first : (first as { text: string }).text);
  } finally {
    query.mockRestore();
  }
  return texts;
}

/** Semicolons within literals end no statement. */
function statementsIn(text: string): readonly string[] {
  return text
    .replaceAll(/'(?:[^']|'')*'/g, "''")
    .split(';')
    .map((each) => each.trim().split(/[\s(]/)[0] ?? '');
}

const refusing: readonly ParticipantHandler<PoolClient>[] = [
  handle(Reserve, { reply: Reserved }, async (_command, { tx }) => {
    await note(tx, 'never');
    throw new Rejection('sold out');
  }),
  handle(Release, { compensates: Reserve }, () => {}),
];

describe('the exchanges', () => {
  const entry = ['BEGIN', 'SELECT'];
  const end = ['SELECT', 'COMMIT'];

  it('of a command and of its compensation are three, with five statements, one of them the handler’s', async () => {
    const stock = lab.participant();
    // The first looks whether the functions are at home, and a connection may have to be made.
    await stock.handle(sent({ call: 'first' }));
    for (const role of ['command', 'compensation'] as const) {
      const texts = await textsOf(async () => stock.handle(sent({ role })));
      expect(texts.map(statementsIn)).toEqual([entry, ['INSERT'], end]);
    }
    expect(await lab.notes()).toEqual(['reserve book', 'reserve book', 'release book 2 r-2']);
  });

  it.each<[string, CommandOptions[]]>([
    ['a tombstone', [{ role: 'compensation' }]],
    ['a refusal by the record', [{ role: 'compensation' }, {}]],
    ['an answer that is given again', [{}, {}]],
    ['a compensation that finds nothing to do', [{}, { role: 'compensation' }, { role: 'compensation' }]],
  ])('of %s are two', async (_, messages) => {
    const stock = lab.participant();
    await stock.handle(sent({ call: 'first' }));
    for (const before of messages.slice(0, -1)) await stock.handle(sent(before));
    const texts = await textsOf(async () => stock.handle(sent(messages.at(-1))));
    expect(texts.map(statementsIn)).toEqual([entry, end]);
  });

  it('of a refusal are five: all that the handler wrote is rolled back, then the refusal is recorded', async () => {
    const stock = lab.participant({ handlers: refusing });
    await lab.participant().handle(sent({ call: 'first' }));
    await stock.handle(sent({ call: 'second' }));
    const texts = await textsOf(async () => stock.handle(sent()));
    expect(texts.map(statementsIn)).toEqual([entry, ['INSERT'], ['ROLLBACK'], entry, end]);
  });

  it('of a duplicate are two, and leave no record', async () => {
    const stock = lab.participant();
    const message = sent();
    await stock.handle(message);
    await lab.test.pool.query('DELETE FROM holdfast.participant_call');
    const texts = await textsOf(async () => expect(await stock.handle(message)).toEqual(DONE));
    expect(texts.map(statementsIn)).toEqual([entry, ['ROLLBACK']]);
    expect(await lab.calls()).toEqual([]);
  });

  it('limit how long the transaction may stand idle', async () => {
    const seen: unknown[] = [];
    const stock = lab.participant({
      handlers: [
        handle(Reserve, { timeout: '3s' }, async (_command, { tx }) => {
          seen.push((await tx.query('SHOW idle_in_transaction_session_timeout')).rows);
        }),
      ],
    });
    await stock.handle(sent());
    expect(seen).toEqual([[{ idle_in_transaction_session_timeout: '13s' }]]);
    const { rows } = await lab.database.pool.query('SHOW idle_in_transaction_session_timeout');
    expect(rows).toEqual([{ idle_in_transaction_session_timeout: '0' }]);
  });

  it('are one more with an outbox that somebody has wrapped, or one of another schema: its own send is called', async () => {
    const outbox = createOutbox();
    const sends: string[] = [];
    const stock = lab.participant({
      outbox: {
        send(tx, type, payload, options) {
          sends.push(type.topic);
          return outbox.send(tx, type, payload, options);
        },
      },
    });
    await stock.handle(sent({ call: 'first' }));
    const texts = await textsOf(async () => stock.handle(sent()));
    expect(texts.map(statementsIn)).toEqual([entry, ['INSERT'], ['SELECT'], end]);
    expect(sends).toEqual(['saga.reply', 'saga.reply']);
    expect(await lab.replies()).toHaveLength(2);
  });
});

describe('the end', () => {
  it.each(['before', 'after'] as const)('cut %s the server has it: one effect, one record, one reply', async (fate) => {
    const proxy = await startTcpProxy(lab.test.url);
    const database = openDatabase({ url: proxy.url });
    onTestFinished(async () => {
      await database.close();
      await proxy.close();
    });
    for (const [role, state] of [
      ['command', 'done'],
      ['compensation', 'compensated'],
    ] as const) {
      const target = (bytes: Buffer): boolean => isCommit(bytes) && bytes.includes('end_call');
      let fates: readonly Fate[] = [fate];
      proxy.judge = (bytes) => {
        if (!target(bytes)) return 'pass';
        const [next = 'pass', ...rest] = fates;
        fates = rest;
        return next;
      };
      const stock = lab.participant({ database });
      expect(await stock.handle(sent({ role }))).toEqual(DONE);
      expect(await lab.calls()).toMatchObject([{ state }]);
    }
    expect(proxy.cuts[fate]).toBe(2);
    expect(await lab.notes()).toEqual(['reserve book', 'release book 2 r-2']);
    expect(await lab.replies()).toHaveLength(2);
    expect(await lab.parked()).toEqual([]);
  });

  it('refused by the server commits nothing; what passes by itself holds the message, a refused value parks it', async () => {
    const { pool } = lab.test;
    onTestFinished(async () => {
      await pool.query('DROP TRIGGER refuse ON holdfast.outbox; DROP FUNCTION refuse');
    });
    const refuse = (state: string): Promise<unknown> =>
      pool.query(`CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          RAISE EXCEPTION 'refused' USING ERRCODE = '${state}'; END $$;
        CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON holdfast.outbox FOR EACH ROW EXECUTE FUNCTION refuse()`);
    await refuse('53100');
    const controller = new AbortController();
    let ends = 0;
    const crashPoint = (point: string): void => void (ends += point === 'inbox.commit:before' ? 1 : 0);
    const held = lab.participant({ crashPoint }).handle(sent({}, { signal: controller.signal }));
    await eventually('it was tried again', async () => ends > 1);
    controller.abort();
    expect(await held).toMatchObject({ kind: 'later' });
    expect([await lab.notes(), await lab.calls(), await lab.parked()]).toEqual([[], [], []]);
    await refuse('P0001');
    expect(await lab.participant({ retry: { attempts: 2 } }).handle(sent())).toEqual(DONE);
    expect([await lab.notes(), await lab.calls()]).toEqual([[], []]);
    expect(await lab.parked()).toMatchObject([{ attempts: 2, error: expect.stringContaining('refused') as string }]);
  });

  it('after an error that the handler left behind commits nothing', async () => {
    const stock = lab.participant({
      retry: { attempts: 1 },
      handlers: [
        handle(Reserve, async (_command, { tx }) => {
          await note(tx, 'never');
          // Sent, and not awaited: nobody knows of it when the end is sent behind it.
          tx.query('SELECT 1/0').catch(() => {});
        }),
      ],
    });
    await stock.handle(sent());
    expect([await lab.notes(), await lab.calls()]).toEqual([[], []]);
    expect(await lab.parked()).toMatchObject([{ error: expect.stringContaining('resolved, but') as string }]);
  });

  it('without its record commits nothing', async () => {
    const stock = lab.participant({
      retry: { attempts: 1 },
      handlers: [handle(Reserve, async (_command, { tx }) => tx.query('DELETE FROM holdfast.participant_call'))],
    });
    await stock.handle(sent());
    expect(await lab.parked()).toMatchObject([{ error: expect.stringContaining('gone within') as string }]);
    expect([await lab.replies(), await lab.calls()]).toEqual([[], []]);
  });
});

describe('between a refusal and its record', () => {
  /** Its second transaction waits until the gate is opened. */
  function refusingAtGate(): {
    readonly stock: Participant;
    readonly refused: Promise<void>;
    readonly open: () => void;
  } {
    const refused = signal();
    const gate = signal();
    let transactions = 0;
    const stock = createParticipant<PoolClient>('stock', {
      runner: {
        async transaction(fn) {
          transactions += 1;
          if (transactions === 2) {
            refused.fire();
            await gate.promise;
          }
          return lab.database.transaction((tx) => fn(tx));
        },
      },
      transport: createMemoryTransport(),
      redeliveryHorizon: '1d',
      handlers: refusing,
    });
    return { stock, refused: refused.promise, open: gate.fire };
  }

  it('its compensation may come: the command is answered from the tombstone', async () => {
    const { stock, refused, open } = refusingAtGate();
    const command = stock.handle(sent());
    await refused;
    expect(await lab.participant().handle(sent({ role: 'compensation' }))).toEqual(DONE);
    open();
    expect(await command).toEqual(DONE);
    expect(await lab.calls()).toMatchObject([{ state: 'tombstone' }]);
    expect(await lab.replies()).toMatchObject([
      { to: 'compensation', outcome: 'done' },
      { to: 'command', outcome: 'rejected', error: { details: { reason: 'compensated' } } },
    ]);
    expect(await lab.notes()).toEqual([]);
  });

  it('another delivery of it may be done: that stands, and is answered once', async () => {
    const { stock, refused, open } = refusingAtGate();
    const id = crypto.randomUUID();
    const command = stock.handle(sent({ id }));
    await refused;
    expect(await lab.participant().handle(sent({ id }))).toEqual(DONE);
    open();
    expect(await command).toEqual(DONE);
    expect(await lab.calls()).toMatchObject([{ state: 'done' }]);
    expect(await lab.replies()).toMatchObject([{ to: 'command', outcome: 'done', output: reservation }]);
    expect(await lab.notes()).toEqual(['reserve book']);
  });

  it('the command may be done when sent again under another id: both are answered with that', async () => {
    const { stock, refused, open } = refusingAtGate();
    const command = stock.handle(sent());
    await refused;
    await lab.participant().handle(sent());
    open();
    await command;
    expect(await lab.replies()).toMatchObject([{ outcome: 'done' }, { outcome: 'done', output: reservation }]);
    expect(await lab.notes()).toEqual(['reserve book']);
  });

  it('the process may die: the message comes again, and the handler refuses again', async () => {
    let begun = 0;
    const id = crypto.randomUUID();
    const stock = lab.participant({
      handlers: refusing,
      crashPoint(point) {
        if (point === 'inbox.begin:before') begun += 1;
        if (begun === 2) throw new Error('killed');
      },
    });
    await expect(stock.handle(sent({ id }))).rejects.toThrow('stopped at');
    expect([await lab.calls(), await lab.replies()]).toEqual([[], []]);
    await lab.participant({ handlers: refusing }).handle(sent({ id }, { redeliveries: 1 }));
    expect(await lab.calls()).toMatchObject([{ state: 'rejected' }]);
    expect(await lab.replies()).toMatchObject([{ outcome: 'rejected', error: { details: { reason: 'sold out' } } }]);
    expect(await lab.notes()).toEqual([]);
  });
});

it('a refused compensation without a record leaves none', async () => {
  const stock = lab.participant({
    handlers: [
      handle(Reserve, () => {}),
      handle(Release, { compensates: Reserve, withoutRecord: 'compensate' }, async (_release, { tx }) => {
        await note(tx, 'never');
        throw new Rejection('too late');
      }),
    ],
  });
  await stock.handle(sent({ role: 'compensation', outcome: 'done' }));
  expect(await lab.calls()).toEqual([]);
  expect(await lab.replies()).toMatchObject([{ to: 'compensation', outcome: 'rejected' }]);
  expect(await lab.notes()).toEqual([]);
});

it('several calls are entered and ended in one statement each', async () => {
  const { pool } = lab.test;
  const client = await pool.connect();
  onTestFinished(() => client.release());
  const run = crypto.randomUUID();
  const ids = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()];
  await pool.query(`INSERT INTO holdfast.inbox (consumer, message_id) VALUES ('stock', $1)`, [ids[0]]);
  await pool.query(
    `INSERT INTO holdfast.participant_call (participant, saga_id, call, state) VALUES ('stock', $1, 'b', 'rejected')`,
    [run],
  );
  const store = createParticipantStore('holdfast', 'stock');
  const command = { topic: 'stock.reserve', version: 1, text: '{"n":9007199254740993}' };
  const calls = ['a', 'b', 'c', 'd'].map((call, n) => ({
    messageId: ids[n] as string,
    role: call === 'd' ? ('compensation' as const) : ('command' as const),
    runId: run,
    call,
    command: call === 'd' ? null : command,
    withoutRow: call === 'd' ? ('tombstone' as const) : null,
  }));
  await client.query('BEGIN');
  const entering = store.enter(calls, false);
  const { rows } = await client.query(entering.sql, [...entering.parameters]);
  expect(store.readEntered({ rows, count: rows.length })).toEqual([
    null,
    { finding: 'known', row: { state: 'rejected', command: null, reply: null } },
    { finding: 'new', state: 'done' },
    { finding: 'new', state: 'tombstone' },
  ]);
  const answer = { outcome: 'done' as const };
  const ending = store.end([
    { runId: run, call: 'b', change: null, reply: null },
    { runId: run, call: 'c', change: { state: 'done', answer }, reply: null },
  ]);
  await client.query(ending.sql, [...ending.parameters]);
  await client.query('COMMIT');
  const stored = await pool.query(
    `SELECT call, state, command ->> 'data' AS data, reply FROM holdfast.participant_call ORDER BY call`,
  );
  expect(stored.rows).toEqual([
    { call: 'b', state: 'rejected', data: null, reply: null },
    { call: 'c', state: 'done', data: '{"n": 9007199254740993}', reply: answer },
    { call: 'd', state: 'tombstone', data: null, reply: null },
  ]);
});

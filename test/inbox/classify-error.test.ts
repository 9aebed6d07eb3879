/**
 * Whose fault an error is: messages that nobody can carry never pass for a database that cannot be reached, and the server's own trouble
 * is never held against a message.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { HoldfastError, PermanentError } from '../../src/errors.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { describeHold, isUnrelatedToDatabase, isServerFailure } from '../../src/inbox/handlers/classify-error.ts';
import { message } from '../../src/message/message-type.ts';
import { showParked } from '../../src/operations/parked/parked.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { clean, delivery, manualClock, openLab, Placed, wire, type Lab } from './lab.ts';

const DONE = { kind: 'done' };
const Exact = message('ledger.booked', { schema: z.object({ id: z.coerce.bigint() }), numbers: 'bigint' });

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const withState = (code: string): Error => Object.assign(new Error(code), { code });

describe('an error', () => {
  it.each<[string, unknown, boolean]>([
    ['a stack that ran over', new RangeError('Maximum call stack size exceeded'), true],
    ['a mistake in code', new TypeError('x is not a function'), true],
    ['an error of ours', new HoldfastError('HF_PAYLOAD_TEXT', 'x'), true],
    [
      'a Redis that holds the window and is away',
      new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'x', { cause: withState('ECONNREFUSED') }),
      true,
    ],
    ['a database that does not answer', new HoldfastError('HF_DATABASE_UNAVAILABLE', 'x'), false],
    ['a wrapped word of the server', new TypeError('x', { cause: withState('53300') }), false],
    ['a pool with an error of its own', new Error('Knex: Timeout acquiring a connection'), false],
  ])('%s', (_name, error, expected) => {
    expect(isUnrelatedToDatabase(error)).toBe(expected);
    expect(describeHold(error).includes('not because of the database')).toBe(expected);
  });

  it.each([
    ['53100', true],
    ['53200', true],
    ['53300', true],
    // temp_file_limit: what this handler asks for is too much, and will be again.
    ['53400', false],
    ['58030', true],
    ['25006', true],
    // statement_timeout, NOWAIT, a frozen process: often the handler's own doing.
    ['57014', false],
    ['55P03', false],
    ['25P03', false],
    // A handler may have ended it.
    ['57P01', false],
    ['23505', false],
  ])('of a handler, with %s', (state, expected) => {
    expect(isServerFailure(withState(state))).toBe(expected);
    expect(isServerFailure(new Error('wrapped', { cause: withState(state) }))).toBe(expected);
    expect(isServerFailure(new PermanentError('meant', { cause: withState(state) }))).toBe(false);
  });

  it('of a service that a handler calls is the handler’s', () => {
    expect(isServerFailure(Object.assign(new Error('refused'), { code: 'ECONNREFUSED', syscall: 'connect' }))).toBe(
      false,
    );
  });
});

describe('a payload nested 10,000 deep', () => {
  const deep = (): { readonly id: string; readonly text: string } => {
    const sent = wire({ key: 'k', data: 0 });
    return { ...sent, text: sent.text.replace('"data":0', `"data":${'['.repeat(10_000)}${']'.repeat(10_000)}`) };
  };

  it.each<[string, (text: string) => unknown]>([
    ['as text', (text) => text],
    ['parsed by an adapter', (text) => JSON.parse(text) as unknown],
  ])('is parked, and holds up nobody but its key: %s', async (_name, given) => {
    const said: string[] = [];
    const log: Logger = { ...silentLogger, warn: (_fields, text) => void said.push(text), child: () => log };
    const consumer = lab.make({ ordered: true, log, handlers: [on(Placed, () => {})] });
    const sent = deep();
    expect(await consumer.handle({ ...delivery(''), wire: given(sent.text) })).toEqual(DONE);
    expect(await lab.parked(sent.id)).toMatchObject([{ reason: 'cannot be decoded', next_attempt_at: null }]);
    for (const key of ['k', 'other']) expect(await consumer.handle(delivery(wire({ key })))).toEqual(DONE);
    expect(await lab.parked()).toMatchObject([{ reason: 'cannot be decoded' }, { state: 'behind' }]);
    expect(said).toEqual([]);
  });

  it('is refused at every door of SQL, and what is just not too deep is not', async () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    const entry = (payload: string): string =>
      `[{"id":"${wire().id}","topic":"t","payload":${payload},"headers":{},"delay_ms":1000}]`;
    const doors: [string, (payload: string) => unknown][] = [
      [`SELECT holdfast.send('t', $1::jsonb)`, (payload) => payload],
      [`SELECT holdfast.write_outbox($1, false)`, entry],
      [`SELECT holdfast.schedule_messages($1, false)`, entry],
      [
        `SELECT holdfast.write_message(gen_random_uuid(), 't', NULL, 1::smallint, $1::jsonb, '{}', false)`,
        (payload) => payload,
      ],
    ];
    for (const [sql, given] of doors) {
      for (const depth of [501, 5_000])
        await expect(lab.test.pool.query(sql, [given(nested(depth))])).rejects.toThrow(/nested more than 500 deep/);
      await lab.test.pool.query(sql, [given(nested(500))]);
    }
  });
});

describe('numbers beyond a double', () => {
  it('arrive, are parked and taken up again as they were sent', async () => {
    let works = false;
    const got: unknown[] = [];
    const consumer = lab.make({
      retry: { attempts: 1 },
      handlers: [
        on(Exact, ({ id }) => {
          got.push(id);
          if (!works) throw new Error('not now');
        }),
      ],
    });
    const sent = wire({ type: 'ledger.booked', data: { id: 0 } });
    await consumer.handle(delivery(sent.text.replace('"id":0', '"id":9007199254740993')));
    const { rows } = await lab.test.pool.query<{ envelope: string }>(
      'SELECT envelope::text FROM holdfast.parked_delivery',
    );
    expect(rows[0]?.envelope).toContain('{"id": 9007199254740993}');
    expect(await showParked(lab.database, sent.id)).toMatchObject([{ topic: 'ledger.booked' }]);
    works = true;
    await consumer.tickParked();
    expect(got).toEqual([9007199254740993n, 9007199254740993n]);
    expect(await lab.parked()).toEqual([]);
  });

  it('that jsonb cannot hold are kept as well', async () => {
    const Any = message('ledger.any', { schema: z.object({ n: z.string() }), numbers: 'text' });
    const consumer = lab.make({ retry: { attempts: 1 }, handlers: [on(Any, () => Promise.reject(new Error('no')))] });
    const sent = wire({ type: 'ledger.any', data: { n: 0 } });
    await consumer.handle(delivery(sent.text.replace('"n":0', '"n":1e999999')));
    const got: unknown[] = [];
    await lab.make({ handlers: [on(Any, ({ n }) => void got.push(n))] }).tickParked();
    expect(got).toEqual(['1e999999']);
  });
});

describe('the server’s own trouble in a handler', () => {
  it.each(['53100', '53200', '25006'])('%s: the message waits, and nothing counts against it', async (state) => {
    const clock = manualClock();
    const attempts: number[] = [];
    let full = true;
    const consumer = lab.make({
      clock,
      random: () => 0.999,
      ordered: true,
      retry: { attempts: 1 },
      handlers: [
        on(Placed, async (_order, { tx, attempt, message: { id } }) => {
          attempts.push(attempt);
          if (full) await tx.query(`DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '${state}'; END $$`);
          await tx.query(`INSERT INTO effect (id, note) VALUES ($1, '')`, [id]);
        }),
      ],
    });
    const sent = wire({ key: 'k' });
    const verdict = consumer.handle(delivery(sent));
    for (let n = 0; n < 3; n += 1) {
      await clock.whenSleeping(2);
      await clock.advance('1s');
    }
    await clock.whenSleeping(2);
    full = false;
    await clock.advance('10s');
    expect(await verdict).toEqual(DONE);
    expect(new Set(attempts)).toEqual(new Set([1]));
    expect(attempts.length).toBeGreaterThan(2);
    expect(await lab.parked()).toEqual([]);
    expect(await lab.effects()).toHaveLength(1);
  });
});

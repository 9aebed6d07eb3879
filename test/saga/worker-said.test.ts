/** What a run is called by, started with, and ends as, said as it is. On PostgreSQL. */
import { isDeepStrictEqual } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Logger } from '../../src/runtime/log.ts';
import { callIdOf } from '../../src/saga/definition/call-id.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { message } from '../../src/message/message-type.ts';
import { eventually } from '../support/eventually.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

describe('names of calls that come from data', () => {
  const names = [
    'M4/20',
    'Größe',
    'ann@example.org',
    'a b',
    '50%',
    '%',
    '☃',
    'x'.repeat(500),
    `${'x'.repeat(499)}y`,
    ' ',
  ];

  it('are escaped, each to another id', async () => {
    const keys: string[] = [];
    const lines = saga({
      name: 'lines',
      input: z.array(z.string()),
      steps: { pick: step({ run: (_: string, { idempotencyKey }) => void keys.push(idempotencyKey) }) },
      async run({ input, steps }) {
        for (const line of input) await steps.pick(line, { id: line });
      },
    });
    const worker = await lab.worker([lines]);
    const run = await worker.sagas.start(lines, names);
    await run.result({ timeout: '30s' });
    expect(new Set(keys).size).toBe(names.length);
    expect(keys.slice(0, 3).map((key) => key.slice(run.id.length + 1))).toEqual([
      'pick:M4%2F20',
      'pick:Gr%C3%B6%C3%9Fe',
      'pick:ann%40example.org',
    ]);
  });

  it('leave plain ones as they were, and refuse nothing but no name', () => {
    expect(callIdOf('pick', undefined)).toBe('pick');
    expect(callIdOf('pick', 'line-2_a.B')).toBe('pick:line-2_a.B');
    expect(callIdOf('pick', '')).toBeNull();
    expect(callIdOf('pick', '\ud800')).not.toBe(callIdOf('pick', '\ud801'));
    expect(callIdOf('pick', '%2F')).not.toBe(callIdOf('pick', '/'));
  });

  it('twice the same is the error, and stops the run without compensating it', async () => {
    const twice = saga({
      name: 'twice',
      input: z.null(),
      steps: { pick: step({ run: (line: string) => line, compensate: () => {} }) },
      async run({ steps }) {
        await steps.pick('a', { id: 'M4/20' });
        await steps.pick('b', { id: 'M4/20' });
      },
    });
    const worker = await lab.worker([twice]);
    const run = await worker.sagas.start(twice, null);
    expect((await lab.stuck(run.id)).message).toContain('calls pick:M4%2F20 a second time');
  });
});

it('a duration that is none stops a run, and compensates nothing', async () => {
  const did: string[] = [];
  const slow = saga({
    name: 'slow',
    input: z.null(),
    steps: { pay: step({ run: () => void did.push('pay'), compensate: () => void did.push('refund') }) },
    async run({ steps, sleep }) {
      await steps.pay();
      await sleep('3 fortnights' as never);
    },
  });
  const worker = await lab.worker([slow]);
  const run = await worker.sagas.start(slow, null);
  expect((await lab.stuck(run.id)).message).toContain('3 fortnights');
  expect(did).toEqual(['pay']);
});

it('a key that is given again with another input is said in the handle', async () => {
  const order = saga({
    name: 'order',
    input: z.object({ item: z.string(), count: z.number().optional() }),
    signals: { go: z.null() },
    steps: {},
    async run({ waitFor }) {
      await waitFor('go');
    },
  });
  const client = lab.client([order]);
  const first = await client.start(order, { item: 'pen', count: 1 }, { key: 'o-1' });
  expect([first.created, first.sameInput]).toEqual([true, true]);
  const again = await client.start(order, { count: 1, item: 'pen' }, { key: 'o-1' });
  expect([again.id, again.created, again.sameInput]).toEqual([first.id, false, true]);
  const other = await client.start(order, { item: 'ink' }, { key: 'o-1' });
  expect([other.id, other.created, other.sameInput]).toEqual([first.id, false, false]);
});

it('a compensation that was skipped is said in the status and in the error', async () => {
  const partly = saga({
    name: 'partly',
    input: z.null(),
    steps: {
      pay: step({ run: () => 'paid', compensate: () => 'refunded' }),
      book: step({
        run: () => 'booked',
        compensate: () => {
          throw new Error('closed');
        },
        compensation: { retry: { attempts: 1 } },
      }),
      fail: step({
        run: () => {
          throw new Error('no van');
        },
        retry: { attempts: 1 },
      }),
    },
    async run({ steps }) {
      await steps.pay();
      await steps.book();
      await steps.fail();
    },
  });
  const worker = await lab.worker([partly]);
  const run = await worker.sagas.start(partly, null);
  await lab.stuck(run.id);
  await lab.postRunMessage(run.id, { kind: 'skip', call: 'book', actor: 'ann', reason: 'keeps the room' });
  await lab.until(run.id, 'compensated');
  expect(await run.status()).toMatchObject({ skipped: ['book'], error: { details: { skipped: ['book'] } } });
  await expect(run.result()).rejects.toMatchObject({
    code: 'HF_SAGA_UNDONE',
    message: expect.stringContaining('but for book, whose compensation was skipped'),
    details: { skipped: ['book'] },
  });
});

it('what compensates a step is given or left out, not undefined', () => {
  const nothing: undefined = undefined;
  const Type = message('thing.do', { schema: z.null() });
  const run = (): void => {};
  for (const make of [
    () => step({ run, compensate: nothing }),
    () => step({ run, fallback: nothing }),
    () => transaction({ run, compensate: nothing }),
    () => command(Type, { compensate: nothing }),
    () => emit(Type, { compensate: nothing }),
  ])
    expect(make).toThrow(/has a (compensate|fallback) that is undefined/);
});

it('an input that its schema turns into what is no JSON is refused with advice that can be followed', async () => {
  const at = (when: z.ZodType) =>
    saga({
      name: 'at',
      input: z.object({ when }),
      steps: {},
      run: async ({ input }) => new Date(String(input.when)).getTime(),
    });
  const coerced = at(z.coerce.date());
  const refusal = await lab
    .client([coerced])
    .start(coerced, { when: '2026-01-01T00:00:00Z' })
    .catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: 'HF_PAYLOAD_NOT_JSON', advice: expect.stringContaining('z.iso.datetime()') });
  const plain = at(z.iso.datetime());
  const worker = await lab.worker([plain]);
  const run = await worker.sagas.start(plain, { when: '2026-01-01T00:00:00Z' });
  expect(await run.result({ timeout: '30s' })).toBe(Date.UTC(2026, 0, 1));
});

describe('a step that is deaf to its signal', () => {
  it('and done after it was compensated is told of in the log, and not compensated a second time', async () => {
    const deaf = gate();
    const told: unknown[] = [];
    const note = (fields: unknown): void => void told.push(fields);
    const log: Logger = { debug() {}, info() {}, warn: note, error() {}, child: () => log };
    let compensated = 0;
    const deafening = saga({
      name: 'deafening',
      input: z.null(),
      steps: {
        pay: step({
          timeout: '10ms',
          retry: { attempts: 1 },
          run: () => deaf.promise,
          compensate: () => void (compensated += 1),
        }),
      },
      run: ({ steps }) => steps.pay(),
    });
    const worker = await lab.worker([deafening], { log });
    const run = await worker.sagas.start(deafening, null);
    await lab.until(run.id, 'compensated');
    deaf.open();
    await eventually('the log to tell of it', async () =>
      told.find((each) =>
        isDeepStrictEqual(each, { run: run.id, saga: 'deafening', call: 'pay', of: 'step', compensated: 'yes' }),
      ),
    );
    expect(compensated).toBe(1);
  });
});

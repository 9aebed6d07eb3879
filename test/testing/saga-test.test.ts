/** The test kit of sagas, feature by feature. What it is like to use stands in test/sagas. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  command,
  emit,
  message,
  PermanentError,
  Rejection,
  saga,
  step,
  transaction,
  transactionFor,
} from '../../src/index.ts';
import { later, lost, reject, respond, silence, testSagas, twice } from '../../src/testing/index.ts';

const text = z.string();
const Take = message('stock.take', { schema: z.object({ item: text }) });
const GiveBack = message('stock.give-back', { schema: z.object({ item: text }) });
const Taken = message('stock.taken', { schema: z.object({ shelf: text }) });
const Outcome = message('news.told', { schema: z.object({ item: text }) });

const order = saga({
  name: 'order',
  input: z.object({ item: text }),
  signals: { go: z.object({ by: text }) },
  steps: {
    charge: step({
      run: async (item: string) => `paid ${item}`,
      compensate: () => {},
      timeout: '5s',
      retry: { attempts: 3, base: '1s', cap: '1s' },
    }),
    take: command(Take, { reply: Taken, compensate: GiveBack, timeout: '10s', retry: { attempts: 2 } }),
    book: transaction({
      run: async (item: string, { tx }) => void (await tx.query('INSERT', [item])),
      compensate: async ({ input }, { tx }) => void (await tx.query('DELETE', [input])),
    }),
    tell: emit(Outcome),
  },
  async run({ input, steps, waitFor, sleep }) {
    const paid = await steps.charge(input.item);
    const { shelf } = await steps.take({ item: input.item });
    await steps.book(input.item);
    await sleep('2d');
    const go = await waitFor('go', { timeout: '1d' });
    await steps.tell({ item: input.item });
    return { paid, shelf, by: go?.by ?? 'nobody' };
  },
});

const takes = respond(Take, { shelf: 's-1' });
const shop = (options: Partial<Parameters<typeof testSagas>[0]> = {}) =>
  testSagas({
    sagas: [order],
    participants: [takes],
    steps: { book: () => {} },
    compensations: { book: () => {} },
    ...options,
  });
const chair = { item: 'chair' };

describe('a saga under test', () => {
  it('goes as far as it can without the clock, and on when that is moved', async () => {
    const test = shop();
    const run = await test.start(order, chair);
    expect((await run.status()).status).toBe('waiting');
    await expect(run.result()).rejects.toMatchObject({ code: 'HF_RESULT_TIMEOUT' });
    await test.advance('2d');
    expect((await run.history()).at(-1)).toMatchObject({ t: 'called', call: 'wait:go#1' });
    await run.signal('go', { by: 'eva' });
    expect(await run.result()).toEqual({ paid: 'paid chair', shelf: 's-1', by: 'eva' });
    expect(test.story).toEqual(['charge', 'take', 'book']);
    expect(test.messages.map(({ topic, runId }) => [topic, runId])).toEqual([
      ['stock.take', run.id],
      ['news.told', run.id],
    ]);
  });

  it('moves the clock no further than it is told, and not at all for what needs no time', async () => {
    const test = shop();
    const run = await test.start(order, chair);
    await test.advance('1d');
    await test.advance(86_400_000 - 1);
    expect((await run.history()).at(-1)).toMatchObject({ t: 'called', call: 'sleep#1' });
    await test.advance(1);
    expect(test.clock.now() - (await run.status()).startedAt).toBe(2 * 86_400_000);
    expect((await run.history()).at(-1)).toMatchObject({ call: 'wait:go#1' });
    await test.finish();
    expect(await run.result()).toMatchObject({ by: 'nobody' });
    await expect(test.finish()).resolves.toBeUndefined();
  });

  it('notes each attempt', async () => {
    const test = shop();
    test.failStep('charge', new Error('busy'));
    const run = await test.start(order, chair);
    await test.advance('1s');
    expect(
      test.calls.map(({ call, of, kind, attempt, outcome, input }) => [call, of, kind, attempt, outcome, input]),
    ).toEqual([
      ['charge', 'run', 'step', 1, 'failed', 'chair'],
      ['charge', 'run', 'step', 2, 'done', 'chair'],
      ['take', 'run', 'command', 1, 'done', chair],
      ['book', 'run', 'transaction', 1, 'done', 'chair'],
    ]);
    expect(test.calls[0]).toMatchObject({ runId: run.id, saga: 'order', error: { message: 'busy' } });
    await run.cancel();
    expect(test.story).toEqual(['charge', 'take', 'book', 'compensate book', 'compensate take', 'compensate charge']);
    expect((await run.status()).reason).toBe('cancelled');
  });

  it('can be started in a transaction, and spoken to as services do', async () => {
    const test = shop();
    const handle = await test.store.inTransaction((tx) => test.sagas.start(tx, order, chair, { key: 'o-1' }));
    expect(test.story).toEqual([]);
    await test.settle();
    expect(test.story).toEqual(['charge', 'take', 'book']);
    expect((await test.start(order, chair, { key: 'o-1' })).id).toBe(handle.id);
  });
});

describe('steps under test', () => {
  it('are replaced by name', async () => {
    const kept = new Map<string, string>();
    const test = shop({
      steps: {
        'order.charge': async (item: string, { idempotencyKey }) => `${item} by ${idempotencyKey.slice(-6)}`,
        book: () => {},
      },
      compensations: {
        charge: ({ output }: { output: string | undefined }) => void kept.set('compensated', String(output)),
      },
    });
    test.failStep('book', new PermanentError('full'));
    const run = await test.start(order, chair);
    expect((await run.status()).status).toBe('compensated');
    expect(kept.get('compensated')).toBe('chair by charge');
  });

  it('are given the transaction of the test, whose effects come with its commit', async () => {
    const rows: string[] = [];
    const begin = () => {
      const staged: string[] = [];
      return { staged, query: async (sql: string, [item]: string[]) => void staged.push(`${sql} ${item}`) };
    };
    const test = testSagas({
      sagas: [order],
      participants: [takes],
      transaction: begin,
      endTransaction: ({ staged }, outcome) => void (outcome === 'commit' && rows.push(...staged)),
    });
    test.failStep('book', new Error('deadlock'), { after: true });
    const run = await test.start(order, chair);
    expect([rows, test.story]).toEqual([[], ['charge', 'take']]);
    await test.advance('1s');
    expect([rows, test.story]).toEqual([['INSERT chair'], ['charge', 'take', 'book']]);
    await run.cancel();
    expect(rows).toEqual(['INSERT chair', 'DELETE chair']);
  });

  it('ask nothing of a runner, whose transactions have no part in the test', async () => {
    const refuse = async () => Promise.reject(new Error('there is no database'));
    const inOrm = transactionFor<object>({ transaction: refuse, execute: refuse, flush: refuse });
    const held = saga({
      name: 'held',
      input: text,
      steps: { keep: inOrm({ run: () => {}, compensate: () => {} }), pay: step({ run: () => {} }) },
      run: async ({ input, steps }) => {
        await steps.keep(input);
        await steps.pay(input);
      },
    });
    const test = testSagas({ sagas: [held], steps: { keep: () => {} }, compensations: { keep: () => {} } });
    const good = await test.start(held, 'chair');
    expect((await good.status()).status).toBe('completed');
    test.failStep('pay', new Rejection('no'));
    const refused = await test.start(held, 'piano');
    expect((await refused.status()).status).toBe('compensated');
  });

  it('without a transaction say what is missing', async () => {
    const test = testSagas({ sagas: [order], participants: [takes] });
    const run = await test.start(order, chair);
    await test.finish();
    await expect(run.result()).rejects.toMatchObject({ cause: { code: 'HF_TX_UNSUPPORTED' } });
  });

  it('fail at the nth attempt, several times, after their effect, or hang until their time is up', async () => {
    const test = shop();
    test.failStep('charge', new Error('once'), { nth: 2 });
    test.failStep('charge', 'hang');
    const run = await test.start(order, chair);
    expect((await run.status()).status).toBe('running');
    await test.advance('6s');
    await test.advance('2s');
    expect(test.calls.filter(({ call }) => call === 'charge').map(({ outcome }) => outcome)).toEqual([
      'open',
      'failed',
      'done',
    ]);

    const again = shop();
    again.failStep('charge', new Error('answer lost'), { times: Infinity, after: true });
    const other = await again.start(order, chair);
    await again.finish();
    expect((await other.status()).status).toBe('compensated');
    expect(again.story).toEqual(['charge', 'compensate charge']);
    expect(again.effects[0]?.places).toHaveLength(3);
  });

  it('may fail in their compensation, until the run is stuck', async () => {
    const test = shop();
    test.failCompensation('take', new Rejection('not ours'));
    const run = await test.start(order, chair);
    await run.cancel({ reason: 'changed my mind' });
    await expect(run.result()).rejects.toMatchObject({ code: 'HF_SAGA_STUCK', details: { call: 'take' } });
    expect(test.story).toEqual(['charge', 'take', 'book', 'compensate book']);
  });

  it('may take their time', async () => {
    const test = shop({ steps: { book: () => test.sleep('3s') } });
    const run = await test.start(order, chair);
    expect(test.story).toEqual(['charge', 'take']);
    await test.advance('3s');
    expect(test.story).toEqual(['charge', 'take', 'book']);
    expect((await run.status()).status).toBe('waiting');
  });

  it('that wait for something outside are named', async () => {
    const test = shop({ steps: { book: () => new Promise(() => {}) }, settleWithin: '30ms' });
    await expect(test.start(order, chair)).rejects.toMatchObject({
      code: 'HF_TEST_UNSETTLED',
      details: { busy: ['book of order'] },
    });
  });

  it('are waited for when they soon end', async () => {
    const test = shop({ steps: { book: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))) } });
    await test.start(order, chair);
    expect(test.story).toEqual(['charge', 'take', 'book']);
  });
});

describe('participants under test', () => {
  it('refuse', async () => {
    const test = shop({ participants: [respond(Take, () => reject('sold out'))] });
    const run = await test.start(order, chair);
    await expect(run.result()).rejects.toMatchObject({
      code: 'HF_SAGA_UNDONE',
      cause: { details: { reason: 'sold out' } },
    });
    expect(test.story).toEqual(['charge', 'compensate charge']);
  });

  it('stay silent at first', async () => {
    const attempts: number[] = [];
    const answer = (_: unknown, { attempt }: { attempt: number }) => (
      attempts.push(attempt),
      attempt < 2 ? silence() : { shelf: 's' }
    );
    const test = shop({ participants: [respond(Take, answer)] });
    await test.start(order, chair);
    await test.advance('9s');
    expect(attempts).toEqual([1]);
    await test.advance('1s');
    expect([attempts, test.story]).toEqual([
      [1, 2],
      ['charge', 'take', 'book'],
    ]);
  });

  it('do once what is asked for again, when their reply got lost', async () => {
    let handled = 0;
    const test = shop({ participants: [respond(Take, () => ((handled += 1), lost({ shelf: 's-9' })))] });
    const run = await test.start(order, chair);
    expect((await run.history()).at(-1)).toMatchObject({ t: 'called', call: 'take' });
    await test.finish();
    expect([handled, await run.result()]).toMatchObject([1, { shelf: 's-9' }]);
  });

  it('answer late, and then it is compensated', async () => {
    const test = shop({ participants: [respond(Take, () => later('1h', { shelf: 's' }))] });
    const run = await test.start(order, chair);
    await test.advance('10s');
    expect(test.messages.filter(({ topic }) => topic === 'stock.take')).toHaveLength(2);
    await test.finish();
    await test.advance('2h');
    expect(test.story).toEqual(['charge', 'take', 'book']);
    expect((await run.status()).status).toBe('completed');
  });

  it('answer twice', async () => {
    const test = shop({ participants: [respond(Take, twice({ shelf: 's' }))] });
    const run = await test.start(order, chair);
    await test.finish();
    expect((await run.history()).filter((event) => event.t === 'done' && event.call === 'take')).toHaveLength(1);
  });

  it('leave a tombstone when a compensation comes first', async () => {
    const test = shop();
    const release = test.hold('stock.take');
    const run = await test.start(order, chair);
    await run.cancel();
    expect((await run.status()).status).toBe('compensated');
    await release();
    expect(test.story).toEqual(['charge', 'compensate charge']);
    expect((await run.status()).status).toBe('compensated');
  });

  it('compensate by a script, with what they were sent', async () => {
    const compensated: unknown[] = [];
    const test = shop({ participants: [takes, respond(GiveBack, (goods) => void compensated.push(goods))] });
    const run = await test.start(order, chair);
    await run.cancel();
    expect(compensated).toEqual([chair]);
  });

  it('whose reply does not fit its type fail the test', async () => {
    const test = shop({ participants: [respond(Take, { shelf: 7 })] });
    await expect(test.start(order, chair)).rejects.toMatchObject({ code: 'HF_PAYLOAD_INVALID' });
  });
});

describe('crashes under test', () => {
  it('kill the worker where it passes, and its runs go on after the lease', async () => {
    const test = shop();
    test.crashAt('saga.step:after');
    const run = await test.start(order, chair);
    expect([test.crashes, test.story]).toEqual([1, ['charge']]);
    await test.advance('14s');
    expect(test.story).toEqual(['charge']);
    await test.advance('2s');
    expect(test.story).toEqual(['charge', 'take', 'book']);
    expect((await run.history()).filter(({ t }) => t === 'recovered')).toHaveLength(1);
    expect(test.effects[0]?.places).toHaveLength(2);
  });

  it('are over at once with a restart', async () => {
    const test = shop();
    test.crashAt('saga.commit:before', { occurrence: 2 });
    await test.start(order, chair);
    await test.restart();
    // The attempt that was lost counts as one, and the next one waits its time.
    await test.advance('1s');
    expect(test.story).toEqual(['charge', 'take', 'book']);
    await test.crash();
    await test.restart();
    await test.restart();
    expect(test.crashes).toBe(3);
    await test.finish();
  });
});

describe('mistakes in a test', () => {
  it.each([
    ['an unknown option', () => testSagas({ sagas: [order], stepz: {} } as never), 'HF_OPTION_UNKNOWN'],
    ['a step that is not there', () => shop({ steps: { charg: () => {} } }), 'HF_OPTION_UNKNOWN'],
    ['a command as a local step', () => shop({ steps: { take: () => {} } }), 'HF_CONFIG'],
    [
      'a compensation that is not declared',
      () => testSagas({ sagas: [bare], compensations: { only: () => {} } }),
      'HF_CONFIG',
    ],
    ['a command that nobody answers', () => testSagas({ sagas: [order] }), 'HF_CONFIG'],
    ['an answer that nobody asks for', () => shop({ participants: [takes, respond(Outcome, {})] }), 'HF_CONFIG'],
    ['a failing message', () => shop().failStep('tell', new Error('no')), 'HF_CONFIG'],
    ['a failing step that is not there', () => shop().failStep('order.char', new Error('no')), 'HF_OPTION_UNKNOWN'],
    ['no message type', () => respond(undefined as never, {}), 'HF_CONFIG'],
  ])('%s is refused', (_, mistake, code) => {
    expect(mistake).toThrow(expect.objectContaining({ code }));
  });
  const bare = saga({
    name: 'bare',
    input: text,
    steps: { only: step({ run: () => {} }) },
    run: async ({ steps }) => steps.only(),
  });
});

/** What the test kit finds wrong with a run: a right one, and what is found when one thing about it is another. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  child,
  emit,
  message,
  Rejection,
  saga,
  step,
  transaction,
  type AnySaga,
  type JournalEvent,
} from '../../src/index.ts';
import { createSagaTest, type SagaTestInside } from '../../src/testing/saga/saga-test.ts';
import { checkRun, type CheckedRun } from '../../src/testing/saga/check-run.ts';

const News = message('news', { schema: z.string() });
const flow = saga({
  name: 'flow',
  input: z.string(),
  signals: { end: z.string() },
  steps: {
    one: step({ run: () => 1, compensate: () => {} }),
    two: transaction({ run: () => 2, compensate: () => {} }),
    news: emit(News),
  },
  async run({ input, steps, waitFor }) {
    const sum = (await steps.one()) + (await steps.two());
    await steps.news(input);
    return { sum, end: await waitFor('end') };
  },
});

async function ended(how: 'completed' | 'compensated'): Promise<CheckedRun> {
  const test = createSagaTest({ sagas: [flow] }, () => {});
  const handle = await test.start(flow, 'a');
  const earlier = [test.store.snapshot().runs[0]?.journal ?? []];
  await (how === 'completed' ? handle.signal('end', 'now') : handle.cancel());
  const [run] = test.store.snapshot().runs;
  if (run === undefined) throw new Error('There is no run.');
  return { saga: flow, run, effects: test.effects, messages: test.store.messages, earlier, allowStuck: false };
}

const events = (
  { run }: CheckedRun,
  change: (event: JournalEvent) => JournalEvent | readonly JournalEvent[],
): CheckedRun['run'] => ({
  ...run,
  journal: run.journal.map((row) => ({ ...row, events: row.events.flatMap(change) })),
});

describe('the check of a run', () => {
  it.each(['completed', 'compensated'] as const)(
    'has nothing to say about one that is %s as it must be',
    async (how) => {
      expect(await checkRun(await ended(how))).toEqual([]);
    },
  );

  it.each<[string, 'completed' | 'compensated', (right: CheckedRun) => Partial<CheckedRun>]>([
    ['one is recorded as done, but never happened', 'completed', ({ effects }) => ({ effects: effects.slice(1) })],
    ['one happened and was not compensated', 'compensated', ({ effects }) => ({ effects: effects.slice(0, -1) })],
    [
      'one was compensated, but the run is completed',
      'completed',
      ({ effects }) => ({
        effects: [
          ...effects,
          ...effects.slice(0, 1).map((each) => ({ ...each, what: 'compensated' as const, places: [9] })),
        ],
      }),
    ],
    [
      'compensated were one, two, in this order; the reverse of how they were started is two, one',
      'compensated',
      ({ effects }) => ({
        effects: effects.map((each) =>
          each.what === 'compensated' ? { ...each, places: [10 - (each.places[0] ?? 0)] } : each,
        ),
      }),
    ],
    [
      'one happened after it was compensated',
      'compensated',
      ({ effects }) => ({ effects: effects.map((each) => (each.name === 'one' ? { ...each, places: [1, 9] } : each)) }),
    ],
    [
      'two is a transaction and was committed 2 times',
      'completed',
      ({ effects }) => ({ effects: effects.map((each) => (each.name === 'two' ? { ...each, places: [2, 3] } : each)) }),
    ],
    [
      'gone happened, but its journal knows of no such call',
      'completed',
      ({ effects }) => ({
        effects: [...effects, ...effects.slice(0, 1).map((each) => ({ ...each, call: 'gone', name: 'gone' }))],
      }),
    ],
    ['news was emitted 2 times for 1 calls', 'completed', ({ messages }) => ({ messages: [...messages, ...messages] })],
    [
      'one has two outcomes',
      'completed',
      (right) => ({
        earlier: [],
        run: events(right, (event) => (event.t === 'done' && event.call === 'one' ? [event, event] : event)),
      }),
    ],
    [
      'what was recorded before a crash is recorded otherwise after it',
      'completed',
      (right) => ({
        run: events(right, (event) => (event.t === 'done' && event.call === 'news' ? { ...event, output: 0 } : event)),
      }),
    ],
    [
      'its code, replayed, returns something else than it did',
      'completed',
      ({ run }) => ({ run: { ...run, result: { sum: 4 } } }),
    ],
    [
      'the run is waiting, and nothing more will come of it',
      'completed',
      ({ run }) => ({ run: { ...run, status: 'waiting' } }),
    ],
    [
      'the run is compensated, but its journal says that it goes on',
      'compensated',
      (right) => ({ run: events(right, (event) => (event.t === 'undone' ? [] : event)) }),
    ],
  ])('finds that %s', async (what, how, change) => {
    const right = await ended(how);
    expect(await checkRun({ ...right, ...change(right) })).toContain(what);
  });

  it('finds a journal that does not fit the code', async () => {
    const right = await ended('completed');
    const run = events(right, (event) =>
      event.t === 'called' && event.call === 'two' ? { ...event, input: 'b' } : event,
    );
    expect((await checkRun({ ...right, earlier: [], run })).join()).toMatch(
      /^its journal cannot be replayed: The journal has the call two/,
    );
  });

  it('has nothing to say of a failure behind the pivot that a person has had taken back', async () => {
    const behind = saga({
      name: 'behind',
      input: z.string(),
      steps: { seal: step({ run: () => 1, pivot: true }), tell: step({ run: () => 2 }) },
      run: async ({ steps }) => (await steps.seal()) + (await steps.tell()),
    });
    const wrong = await wrongWith([behind], async (test) => {
      test.failStep('tell', new Rejection('not today'));
      const { id } = await test.start(behind, 'a');
      await test.settle();
      await test.store.postRunMessage(null, id, { kind: 'retry', actor: 'ann' }, ['stuck']);
    });
    expect(wrong).toEqual([]);
  });

  it('has nothing to say of what a child had given up, and compensated, before it was taken back', async () => {
    const part = saga({
      name: 'part',
      input: z.string(),
      steps: {
        maybe: step({ run: () => 1, compensate: () => {}, retry: { attempts: 1 } }),
        last: step({ run: () => 2, compensate: () => {} }),
      },
      run: ({ steps }) => steps.maybe().catch(() => steps.last()),
    });
    const whole = saga({
      name: 'whole',
      input: z.string(),
      steps: { part: child(part), fail: step({ run: () => 3 }) },
      run: async ({ input, steps }) => (await steps.part(input)) + (await steps.fail()),
    });
    const wrong = await wrongWith([part, whole], async (test) => {
      test.failStep('maybe', new Error('unheard'), { after: true });
      test.failStep('fail', new Rejection('no'));
      await test.start(whole, 'a');
    });
    expect(wrong).toEqual([]);
  });
});

/** The check of the first of the sagas, whose run was played until nothing moved. */
async function wrongWith(sagas: readonly [AnySaga, ...AnySaga[]], play: (test: SagaTestInside) => Promise<unknown>) {
  const test = createSagaTest({ sagas }, () => {});
  await play(test);
  await test.settle();
  const run = test.store.snapshot().runs.find((each) => each.saga === sagas[0].name);
  if (run === undefined) throw new Error('There is no run.');
  const effects = test.effects.filter(({ runId }) => runId === run.id);
  const { messages } = test.store;
  return checkRun({ saga: sagas[0], run, effects, messages, earlier: [], allowStuck: false });
}

/** The code of a run, told one thing at a time: what it may do then, what it did, and what breaks that rule. No engine, no database. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { saga, type AnySaga, type RunContext, type Saga } from '../../src/saga/definition/definition.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createFlow, type CallOutcome, type Flow } from '../../src/saga/replay/flow.ts';
import { replay } from '../../src/saga/replay/replay.ts';
import { turn } from '../../src/saga/replay/turn.ts';

const steps = {
  charge: step({ run: async (amount: number) => amount, compensate: () => {} }),
  ship: step({ run: async (to: string) => to }),
};
type Context = RunContext<number, typeof steps, Record<string, never>>;
type Code = (context: Context) => Promise<unknown>;

const sagaOf = (run: Code): AnySaga => saga({ name: 'order', input: z.number(), steps, run: run as never });
const flowOf = (run: Code): Flow => createFlow({ saga: sagaOf(run) as Saga, runId: 'r', input: 5, maxBytes: 10_000 });
const done = (value: unknown = null): CallOutcome => ({ kind: 'done', value });

/** What it did after each thing that it was told. */
async function looks(flow: Flow, ...told: readonly (readonly [string, CallOutcome])[]) {
  const look = async () => {
    await turn();
    const { calls, ending, violation } = flow.look();
    return { calls: calls.map(({ id }) => id), ending, broken: violation?.code ?? null };
  };
  flow.begin(0);
  const seen = [await look()];
  for (const [call, outcome] of told) {
    flow.tell(call, outcome, 1);
    seen.push(await look());
  }
  return seen;
}

describe('code that is told one thing at a time', () => {
  it('calls, is told, and ends', async () => {
    const flow = flowOf(async ({ steps: { charge, ship }, input }) => {
      const paid = await charge(input);
      return ship(`paid ${paid}`);
    });
    expect(await looks(flow, ['charge', done(5)], ['ship', done('there')])).toEqual([
      { calls: ['charge'], ending: null, broken: null },
      { calls: ['ship'], ending: null, broken: null },
      { calls: [], ending: { kind: 'returned', result: '"there"' }, broken: null },
    ]);
  });

  it('is told the end of a call once', async () => {
    const flow = flowOf(async ({ steps: { charge, ship } }) => {
      await charge(1);
      await ship('x');
      await charge(2, { id: 'more' });
    });
    const seen = await looks(flow, ['charge', done()], ['charge', done()], ['ship', done()], ['unknown', done()]);
    expect(seen.map(({ calls }) => calls)).toEqual([['charge'], ['ship'], [], ['charge:more'], []]);
    expect(seen.map(({ broken }) => broken)).toEqual([null, null, null, null, null]);
  });

  it('has the second call of one name refused, and the first one goes on', async () => {
    const flow = flowOf(async ({ steps: { charge } }) => {
      const first = charge(1);
      const error = await charge(2).catch((refused: unknown) => (refused as { readonly code: string }).code);
      return [error, await first];
    });
    const seen = await looks(flow, ['charge', done(7)]);
    expect(seen[0]?.calls).toEqual(['charge']);
    expect(seen[1]?.ending).toEqual({ kind: 'returned', result: '["HF_CALL_REPEATED",7]' });
  });

  it('breaks the rule when it waits for what is no step', async () => {
    const [first] = await looks(flowOf(() => new Promise(() => {})));
    expect(first).toMatchObject({ ending: null, broken: 'HF_OUTSIDE_AWAIT' });
  });

  it('breaks it when it calls, ends or fails at a moment when it was told nothing', async () => {
    const outside: { readonly goOn: () => void }[] = [];
    const moment = () => new Promise<void>((resolve) => outside.push({ goOn: resolve }));
    const codes: readonly Code[] = [
      async ({ steps: { charge, ship } }) => Promise.all([charge(1), moment().then(() => ship('x'))]),
      async ({ steps: { charge } }) => Promise.race([charge(1), moment()]),
    ];
    for (const code of codes) {
      const flow = flowOf(code);
      expect(await looks(flow)).toMatchObject([{ calls: ['charge'], broken: null }]);
      outside.pop()?.goOn();
      await turn();
      expect(flow.look()).toMatchObject({ calls: [], ending: null, violation: { code: 'HF_OUTSIDE_AWAIT' } });
    }
  });

  it('tells of whose failure it ended, also where it wraps it', async () => {
    const declined = new Error('declined');
    const ending = async (run: Code) => {
      const seen = await looks(flowOf(run), ['charge', { kind: 'failed', error: declined }]);
      return seen.at(-1)?.ending;
    };
    const wrapped = async (wrap: (error: unknown) => unknown): Promise<unknown> =>
      ending(({ steps: { charge } }) => charge(1).catch((error: unknown) => Promise.reject(wrap(error) as Error)));
    for (const wrap of [
      (error: unknown) => error,
      (error: unknown) => new Error('no order', { cause: error }),
      (error: unknown) => new AggregateError([new Error('x'), error]),
    ])
      expect(await wrapped(wrap)).toMatchObject({ kind: 'threw', of: ['charge'] });
    expect(await wrapped(() => new Error('of its own'))).toMatchObject({ kind: 'threw', of: [] });
  });
});

describe('a replay', () => {
  const started: JournalEvent = { t: 'started', input: 5 };
  const charged: readonly JournalEvent[] = [
    { t: 'called', call: 'charge', kind: 'step', step: 'charge', input: 5 },
    { t: 'done', call: 'charge', output: 5 },
  ];
  const fit = async (run: Code, ...events: readonly JournalEvent[]) => {
    const journal = events.map((event, n) => ({ n, at: n, events: [event] }));
    return (await replay(sagaOf(run), () => flowOf(run), journal, turn)).fit;
  };
  const order: Code = async ({ steps: { charge, ship }, input }) => {
    await charge(input);
    await ship('home');
  };

  it('goes on with what the code asks for beyond the journal', async () => {
    expect(await fit(order, started, ...charged)).toMatchObject({
      kind: 'fits',
      calls: [{ id: 'ship' }],
      ending: null,
    });
  });

  it('asks for nothing more once the run is being compensated', async () => {
    expect(await fit(order, started, ...charged, { t: 'undoing', reason: 'cancelled' })).toMatchObject({
      kind: 'fits',
      calls: [],
    });
  });

  it.each<[string, Partial<Extract<JournalEvent, { t: 'called' }>>]>([
    ['another kind', { kind: 'command' }],
    ['another step', { step: 'ship' }],
    ['another id', { call: 'charge:2' }],
    ['another input', { input: 6 }],
  ])('finds that a call is recorded with %s', async (_, other) => {
    const called = { t: 'called', call: 'charge', kind: 'step', step: 'charge', input: 5, ...other } as const;
    expect(await fit(order, started, called)).toMatchObject({ kind: 'mismatch', why: 'non-determinism' });
  });
});

/**
 * Decisions without an engine: a run is a recorder of its own, and what is decided stands in it.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { collectCalls } from '../../src/saga/decide/calls.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { command, COMMAND, type CommandStep } from '../../src/saga/kinds/command.ts';
import { emit, EMIT, type EmitStep } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import type { Run } from '../../src/saga/run/run.ts';
import { asks, context, recorded, runOf, RUN_ID, take, types } from './run-recorder.ts';

const Announce = message('announce', { schema: z.object({ id: z.string() }) });
const Withdraw = message('withdraw', { schema: z.object({ id: z.string() }) });
const Reserve = message('reserve', { schema: z.object({ id: z.string() }) });

/** What the payload of the compensating message throws, while it does. */
let broken: Error | null = null;

const order = saga({
  name: 'order',
  input: z.object({}),
  steps: {
    charge: step({ run: () => 'charged', compensate: () => {}, retry: { attempts: 2, base: 0, within: '1h' } }),
    announce: emit(Announce, {
      compensate: {
        message: Withdraw,
        payload: ({ input }) => {
          if (broken !== null) throw broken;
          return input;
        },
      },
    }),
    reserve: command(Reserve, { timeout: '10s' }),
  },
  signals: { paid: z.string() },
  async run() {},
});

const newRun = () => runOf(order);

describe('a call', () => {
  it('of a step is recorded at once, and is to be attempted', () => {
    const run = newRun();
    expect(collectCalls(run, [asks('step', 'charge')], context(1_000))).toBeUndefined();
    expect(types(run)).toEqual(['started', 'called']);
    expect(run.intents).toMatchObject([{ kind: 'attempt', call: { id: 'charge' } }]);
  });

  it('of a message is recorded when that is made ready, with those beside it in their order', async () => {
    const run = newRun();
    const sleeps = asks('sleep', 'sleep', { id: 'sleep#1', input: '5', waitMs: 5 });
    await collectCalls(run, [asks('step', 'charge'), asks('command', 'reserve'), sleeps], context(1_000));
    expect(recorded(run).slice(1)).toMatchObject([
      { call: 'charge' },
      { call: 'reserve', until: 11_000 },
      { call: 'sleep#1', until: 1_005 },
    ]);
    expect(run.flush(null).messages).toHaveLength(1);
  });
});

describe('what happens', () => {
  it('to an attempt that was lost with its worker has the next one made at once, unless other things are to be told', async () => {
    for (const waits of [false, true]) {
      const run = newRun();
      void collectCalls(run, [asks('step', 'charge')], context(1_000));
      run.flush(null);
      run.intents = [];
      const [call] = run.state.open;
      if (call === undefined) throw new Error('It was not recorded.');
      const error = { name: 'HoldfastError', message: 'lost' };
      const result = { kind: 'failed', error, permanent: false, doubt: true, uncounted: 'lost' } as const;
      if (waits) run.runEvents.push({ kind: 'due' });
      await take(run, { kind: 'attempt', call, result }, 2_000);
      expect(recorded(run)).toMatchObject([{ t: 'attempt failed', call: 'charge', retryAt: 2_000, lost: 1 }]);
      expect(run.intents).toHaveLength(waits ? 0 : 1);
      expect(call.retryAt).toBe(waits ? 2_000 : null);
    }
  });

  it('to an attempt that failed puts the next one off; the last one ends the call', async () => {
    const run = newRun();
    void collectCalls(run, [asks('step', 'charge')], context(1_000));
    const [call] = run.state.open;
    const result = {
      kind: 'failed',
      error: { name: 'Error', message: 'down' },
      permanent: false,
      doubt: true,
    } as const;
    if (call === undefined) throw new Error('It was not recorded.');
    await take(run, { kind: 'attempt', call, result }, 1_000);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'attempt failed', attempt: 1, retryAt: 1_000 });
    await take(run, { kind: 'attempt', call, result }, 1_000);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'failed', attempts: 2, outcome: 'unknown' });
  });

  it('is told by a signal and by a sent message in events of their own', async () => {
    const run = newRun();
    await collectCalls(run, [asks('emit', 'announce')], context(1_000));
    void collectCalls(run, [asks('wait', 'paid', { id: 'wait:paid#1', input: undefined })], context(1_000));
    run.record({ t: 'signal', name: 'paid', payload: 'yes' }, 1_000);
    expect(run.runEvents).toMatchObject([{ kind: 'sent', call: { id: 'announce' } }]);
    for (const event of run.runEvents.splice(0)) await take(run, event, 1_000);
    expect(recorded(run).at(-1)).toMatchObject({ t: 'done', call: 'announce' });
  });
});

describe('a compensating message that cannot be made', () => {
  it('is made anew, for a message that nobody answers as well, when a person has it tried again', async () => {
    const run = newRun();
    await collectCalls(run, [asks('emit', 'announce')], context(1_000));
    for (const event of run.runEvents.splice(0)) await take(run, event, 1_000);
    broken = new Error('no template');
    const cancel = { id: '1', runId: RUN_ID, at: 1_000, body: { kind: 'cancel' } } as const;
    await take(run, { kind: 'message', runMessage: cancel }, 1_000);
    expect(run.state.stuck).toMatchObject({ why: 'compensation', call: 'announce' });
    broken = null;
    const retry = { id: '2', runId: RUN_ID, at: 1_001, body: { kind: 'retry', actor: 'ops' } } as const;
    await take(run, { kind: 'message', runMessage: retry }, 1_001);
    await take(run, { kind: 'due' }, 1_002);
    expect(types(run).slice(-2)).toEqual(['compensated', 'undone']);
    expect(run.flush(null).messages).toHaveLength(2);
  });
});

describe('the key that a compensating message is told', () => {
  const told: string[] = [];
  const compensate = {
    message: Withdraw,
    payload: ({ key }: { readonly key: string }) => {
      told.push(key);
      return { id: key };
    },
  };

  it.each([
    ['command', COMMAND, command(Reserve, { compensate })],
    ['emit', EMIT, emit(Announce, { compensate })],
  ] as const)('of a %s is that of the call as it was made last', async (_kind, kind, declared) => {
    const run = newRun();
    await collectCalls(run, [asks('command', 'reserve')], context(1_000));
    const [call] = run.state.open;
    if (call === undefined) throw new Error('It was not recorded.');
    const prepare = kind.prepareCompensation?.bind(kind) as (
      of: Run,
      step: CommandStep | EmitStep,
      made: typeof call,
    ) => Promise<string>;
    told.length = 0;
    await prepare(run, declared as never, call);
    // A person had it tried again: participants know it by another name since.
    await prepare(run, declared as never, { ...call, round: 2 });
    expect(told).toEqual([`${RUN_ID}:reserve`, `${RUN_ID}:reserve!2`]);
  });
});

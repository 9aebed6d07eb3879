/**
 * A run that is taken up from its journal: what was lost with its worker, what pauses, and what had come for it while nobody had it.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { advanceCompensation } from '../../src/saga/decide/compensate.ts';
import { recover } from '../../src/saga/decide/recover.ts';
import { saga, type Saga } from '../../src/saga/definition/definition.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../src/saga/journal/growth.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { HandedReply } from '../../src/saga/run/handed-reply.ts';
import { Run } from '../../src/saga/run/run.ts';
import type { RunMessageBody } from '../../src/saga/store/store.ts';
import { callOf, context, messageOf, recorded, RUN_ID, runOf, take, tell, types } from './run-recorder.ts';
import { trip } from './trip-saga.ts';

const ERROR = { name: 'Error', message: 'x' };
const retry = { attempts: 3, base: 1_000 } as const;

const order = saga({
  name: 'order',
  input: z.object({}),
  signals: { go: z.string() },
  steps: {
    charge: step({
      run: () => 'charged',
      compensate: () => {},
      verify: () => ({ happened: true, output: 'charged' }),
      retry,
    }),
    ship: step({ run: () => 'shipped', pivot: true, retry }),
  },
  async run({ steps }) {
    await steps.charge(undefined);
    await steps.ship(undefined);
  },
});

const STARTED: JournalEvent = { t: 'started', input: {} };
const CALLED: JournalEvent = { t: 'called', call: 'charge', kind: 'step', step: 'charge', undoable: true };
const DONE: JournalEvent = { t: 'done', call: 'charge', output: 'charged' };
const UNDOING: JournalEvent = { t: 'undoing', reason: 'cancelled' };

interface Stored {
  readonly events: readonly JournalEvent[];
  readonly lost?: number;
  /** What had come for it. */
  readonly messages?: readonly RunMessageBody[];
  readonly now?: number;
}

/** The run with these events, a row each from 1000 on, as another worker takes it up. */
async function recovered({ events, lost = 0, messages = [], now = 60_000 }: Stored): Promise<Run> {
  const settings = { maxBytes: 1_000_000, replyTo: 'replies', ...DEFAULT_JOURNAL_LIMITS };
  const journal = events.map((event, n) => ({ n, at: 1_000 + n, events: [event] }));
  const claimed = {
    id: RUN_ID,
    saga: 'order',
    version: 1,
    status: 'running',
    reason: null,
    pivoted: false,
    claims: 2,
    lost,
    deadlineAt: null,
    parent: null,
    journal,
    runMessages: [],
  } as const;
  const run = new Run(order as unknown as Saga, claimed, 'running', settings);
  run.load(claimed);
  run.messagesKnownAt = Infinity;
  for (const body of messages) run.runEvents.push(messageOf(body, now));
  await recover(run, journal, context(now));
  return run;
}

describe('an attempt that was under way', () => {
  it('is made when nobody died with it', async () => {
    const run = await recovered({ events: [STARTED, CALLED] });
    expect(run.intents).toMatchObject([{ kind: 'attempt', call: { id: 'charge' } }]);
    expect(run.runEvents).toEqual([]);
  });

  it('is told as lost when its worker was lost, and is not made beside that', async () => {
    const run = await recovered({ events: [STARTED, CALLED], lost: 1 });
    expect(recorded(run)).toEqual([{ t: 'recovered', lost: 1 }]);
    expect(run.runEvents).toMatchObject([
      { kind: 'attempt', call: { id: 'charge' }, result: { uncounted: 'lost', doubt: true, permanent: false } },
    ]);
    expect(run.intents).toEqual([]);
  });

  it('pauses on until its time has come', async () => {
    const pausing: JournalEvent = { t: 'attempt failed', call: 'charge', attempt: 1, error: ERROR, retryAt: 90_000 };
    const early = await recovered({ events: [STARTED, CALLED, pausing], lost: 1 });
    expect(callOf(early, 'charge').retryAt).toBe(90_000);
    expect([early.intents, early.runEvents]).toEqual([[], []]);
    const due = await recovered({ events: [STARTED, CALLED, pausing], now: 90_000 });
    expect(due.intents).toMatchObject([{ kind: 'attempt' }]);
  });

  it('of a compensation is told as lost as well', async () => {
    const compensating: JournalEvent = { t: 'compensating', call: 'charge', round: 1 };
    const run = await recovered({ events: [STARTED, CALLED, DONE, UNDOING, compensating], lost: 1 });
    expect(run.runEvents).toMatchObject([{ kind: 'compensation', result: { uncounted: 'lost' } }]);
    expect(run.intents).toEqual([]);
  });
});

describe('a cancellation that had come', () => {
  const cancel: RunMessageBody = { kind: 'cancel', actor: 'ann' };

  it('before the first step leaves nothing begun', async () => {
    const run = await recovered({ events: [STARTED], messages: [cancel] });
    expect(types(run)).toEqual(['undoing', 'undone']);
    expect(run.intents).toEqual([]);
  });

  it('before the pivot is called turns the run back', async () => {
    const run = await recovered({ events: [STARTED, CALLED, DONE], messages: [cancel] });
    expect(types(run)).toEqual(['undoing', 'compensating']);
    expect(run.intents).toMatchObject([{ kind: 'compensate', call: { id: 'charge' } }]);
  });
});

describe('a signal', () => {
  it('with an id is taken in once', async () => {
    const run = runOf(trip);
    const signal: RunMessageBody = { kind: 'signal', name: 'go', payload: 'a', id: '1' };
    await tell(run, signal, 1_001);
    await tell(run, signal, 1_002);
    await tell(run, { kind: 'signal', name: 'go', payload: 'a' }, 1_003);
    expect(types(run)).toEqual(['started', 'signal', 'signal']);
    expect(run.flush(null).runMessagesDone).toHaveLength(3);
  });

  it('to a run that is being compensated is recorded as too late', async () => {
    const run = await recovered({ events: [STARTED, CALLED, DONE, UNDOING] });
    await tell(run, { kind: 'signal', name: 'go', payload: 'a' }, 60_000);
    expect(recorded(run)).toContainEqual({ t: 'refused', what: 'signal', name: 'go' });
  });
});

describe('a reply that was given back', () => {
  it('is not taken in as well', async () => {
    const run = runOf(trip);
    const reply = new HandedReply(RUN_ID, 1_000, { kind: 'reply', call: 'reserve', to: 'command', outcome: 'done' }, 1);
    reply.settle(false);
    await take(run, { kind: 'message', runMessage: reply }, 1_001);
    expect(run.flush(null).runMessagesDone).toEqual([]);
    expect(run.takeHanded()).toEqual([]);
  });
});

describe('verify', () => {
  const doubtful: JournalEvent = { t: 'failed', call: 'charge', attempts: 3, error: ERROR, outcome: 'unknown' };

  it('is asked once at a time, and not before its pause is over', async () => {
    const run = await recovered({ events: [STARTED, CALLED, doubtful, UNDOING] });
    expect(run.intents).toMatchObject([{ kind: 'verify', call: { id: 'charge' } }]);
    await advanceCompensation(run, context(60_000), 'all');
    expect(run.intents).toHaveLength(1);
    run.intents = [];
    callOf(run, 'charge').asked.againAt = 70_000;
    await advanceCompensation(run, context(69_999), 'all');
    expect(run.intents).toEqual([]);
    await advanceCompensation(run, context(70_000), 'all');
    expect(run.intents).toMatchObject([{ kind: 'verify' }]);
  });
});

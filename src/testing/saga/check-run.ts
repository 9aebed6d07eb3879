/**
 * What must hold of every run however its workers died: it has ended, its effects are those of its journal, compensated in reverse and never
 * done afterwards, nothing recorded has changed, and its journal folds and replays to what it is.
 */
import { isDeepStrictEqual } from 'node:util';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import { isCommand } from '../../saga/kinds/command.ts';
import { isAttempted, kindOf } from '../../saga/kinds/table.ts';
import { stepOf, type AnySaga, type Saga } from '../../saga/definition/definition.ts';
import type { JournalEvent, JournalRow, RunStatus } from '../../saga/journal/events.ts';
import { createFlow } from '../../saga/replay/flow.ts';
import { replay } from '../../saga/replay/replay.ts';
import { emptyState, textOf, valueOf, type CallState, type RunState } from '../../saga/journal/state.ts';
import { apply } from '../../saga/state/fold.ts';
import { turn } from '../../saga/replay/turn.ts';
import { canCompensate } from '../../saga/definition/steps.ts';
import type { TestEffect } from './effects-log.ts';
import type { MemoryRun } from './memory-saga-store.ts';
import type { MemoryMessage } from './memory-rows.ts';

export interface CheckedRun {
  readonly saga: AnySaga;
  readonly run: MemoryRun;
  /** Of this run. */
  readonly effects: readonly TestEffect[];
  /** Of all runs. */
  readonly messages: readonly MemoryMessage[];
  /** Its journal at moments when a worker died. */
  readonly earlier: readonly (readonly JournalRow[])[];
  readonly allowStuck: boolean;
}

/** What does not hold, in words; empty when all does. */
export async function checkRun(checked: CheckedRun): Promise<readonly string[]> {
  const { run } = checked;
  const state = emptyState();
  for (const { at, events } of run.journal) for (const event of events) apply(state, event, at);
  return [
    ...checkEnd(checked, state),
    ...checkJournal(checked),
    ...checkEffects(checked, state),
    ...checkOrder(checked, state),
    ...checkEmitted(checked, state),
    ...(await checkReplay(checked)),
  ];
}

function checkEnd({ run, allowStuck }: CheckedRun, state: RunState): string[] {
  const wrong: string[] = [];
  const ends = new Set<RunStatus>(['completed', 'compensated', ...(allowStuck ? (['stuck'] as const) : [])]);
  if (!ends.has(run.status)) wrong.push(`the run is ${run.status}, and nothing more will come of it`);
  const folded =
    state.phase === 'completed'
      ? 'completed'
      : state.phase === 'compensated'
        ? 'compensated'
        : state.stuck === null
          ? null
          : 'stuck';
  if (ends.has(run.status) && folded !== run.status)
    wrong.push(`the run is ${run.status}, but its journal says ${folded ?? 'that it goes on'}`);
  return wrong;
}

/** Nothing recorded changes: the journal only grows, and each call has one outcome. */
function checkJournal({ run, earlier }: CheckedRun): string[] {
  const wrong: string[] = [];
  for (const before of earlier) {
    if (!isDeepStrictEqual(run.journal.slice(0, before.length), before))
      wrong.push('what was recorded before a crash is recorded otherwise after it');
  }
  const outcomes = new Map<string, JournalEvent>();
  for (const event of run.journal.flatMap(({ events }) => events)) {
    // What failed behind a pivot may be taken back by a person, and is made anew; so is what the code had called in answer to it.
    if (event.t === 'retried') for (const { call } of event.anew ?? []) outcomes.delete(call);
    if (event.t === 'called') outcomes.delete(event.call);
    if (event.t !== 'done' && event.t !== 'failed' && event.t !== 'timed out') continue;
    if (outcomes.has(event.call)) wrong.push(`${event.call} has two outcomes`);
    outcomes.set(event.call, event);
  }
  return wrong;
}

function checkEffects({ saga, run, effects }: CheckedRun, state: RunState): string[] {
  const wrong: string[] = [];
  const of = (call: string, what: TestEffect['what']): TestEffect[] =>
    effects.filter((effect) => effect.call === call && effect.what === what);
  for (const effect of effects) {
    if (!state.calls.has(effect.call)) wrong.push(`${effect.name} happened, but its journal knows of no such call`);
    if (effect.kind === 'transaction' && effect.places.length > 1)
      wrong.push(`${effect.name} is a transaction and was committed ${effect.places.length} times`);
  }
  for (const call of state.calls.values()) {
    if (!isAttempted(call) && kindOf(call).isSentAgain !== true) continue;
    const [done] = of(call.id, 'done');
    const compensated = of(call.id, 'compensated');
    const succeeded = call.outcome === 'done' && !call.degraded;
    if (succeeded && done === undefined) wrong.push(`${call.id} is recorded as done, but never happened`);
    if ((done?.places.at(-1) ?? -1) > (compensated[0]?.places[0] ?? Infinity))
      wrong.push(`${call.id} happened after it was compensated`);
    const step = stepOf(saga, call.step);
    if (done === undefined || step === undefined || !canCompensate(step)) continue;
    if (run.status === 'compensated' && compensated.length === 0)
      wrong.push(`${call.id} happened and was not compensated`);
    if (run.status !== 'completed') continue;
    if (succeeded && !call.givenUp && compensated.length > 0)
      wrong.push(`${call.id} was compensated, but the run is completed`);
    if (call.outcome === 'failed' && compensated.length === 0)
      wrong.push(`${call.id} was given up, but happened and was not compensated`);
  }
  return wrong;
}

/**
 * Reverse order of start; what came to light later is compensated when it does, and what the run had given up before it was about to
 * complete, which a child may do and be taken back afterwards.
 */
function checkOrder({ run, effects }: CheckedRun, state: RunState): string[] {
  if (run.status === 'completed') return [];
  const started = [...state.calls.keys()];
  const events = run.journal.flatMap((row) => row.events);
  const turnedBackAt = events.findIndex(({ t }) => t === 'undoing');
  const late = new Set(
    events.flatMap((event, place) =>
      event.t === 'late reply' || (event.t === 'compensating' && place < turnedBackAt) ? [event.call] : [],
    ),
  );
  const order = effects
    .filter(({ what, call }) => what === 'compensated' && !late.has(call))
    .toSorted((one, other) => (one.places[0] ?? 0) - (other.places[0] ?? 0))
    .map(({ call }) => call);
  const expected = order.toSorted((one, other) => started.indexOf(other) - started.indexOf(one));
  if (isDeepStrictEqual(order, expected)) return [];
  return [
    `compensated were ${order.join(', ')}, in this order; the reverse of how they were started is ${expected.join(', ')}`,
  ];
}

/** An emitted message leaves once for each call. */
function checkEmitted({ saga, run, messages }: CheckedRun, state: RunState): string[] {
  const own = messages.filter(({ headers }) => headers['correlationid'] === run.id);
  const topics = new Map<string, CallState[]>();
  const commands = new Set<string>();
  for (const step of Object.values(saga.steps)) if (isCommand(step)) commands.add(step.command.topic);
  for (const call of state.calls.values()) {
    const step = stepOf(saga, call.step);
    if (step?.kind !== 'emit' || step.inputType === null || call.outcome !== 'done') continue;
    const { topic } = step.inputType;
    topics.set(topic, [...(topics.get(topic) ?? []), call]);
  }
  const wrong: string[] = [];
  for (const [topic, calls] of topics) {
    const sent = own.filter((message) => message.topic === topic).length;
    const compensating = Object.values(saga.steps).some(
      (step) =>
        'compensate' in step && (step.compensate as { message?: { topic: string } } | null)?.message?.topic === topic,
    );
    if (sent !== calls.length && !compensating && !commands.has(topic))
      wrong.push(`${topic} was emitted ${sent} times for ${calls.length} calls`);
  }
  return wrong;
}

async function checkReplay({ saga, run }: CheckedRun): Promise<string[]> {
  const events = run.journal.flatMap((row) => row.events);
  const [first] = events;
  if (first?.t !== 'started') return ['its journal does not begin with its start'];
  if (events.some((event) => event.t === 'resolved')) return [];
  const input = textOf(first.input);
  const make = () =>
    createFlow({ saga: saga as Saga, runId: run.id, input: valueOf(input), maxBytes: DEFAULT_MAX_BYTES });
  const { fit } = await replay(saga, make, run.journal, turn);
  if (fit.kind === 'mismatch')
    return run.status === 'stuck' ? [] : [`its journal cannot be replayed: ${fit.error.message}`];
  if (run.status !== 'completed') return [];
  if (fit.ending?.kind !== 'returned') return ['it is completed, but its code, replayed, does not return'];
  const result = valueOf(fit.ending.result) ?? null;
  return isDeepStrictEqual(result, run.result) ? [] : ['its code, replayed, returns something else than it did'];
}

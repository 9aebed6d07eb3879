/**
 * A run as a story: the events of its journal folded into calls with a beginning, an end and an outcome, and into what was
 * compensated. Needs no code of the saga, so any history can be shown, wherever its worker runs, also one that a newer version has
 * written: what is not known here is shown as such. Pure. The engine's own fold decides what happens next; this one only tells what
 * happened.
 */
import { WHOLE_RUN, type JournalEvent, type JournalRow, type RunStatus } from '../../saga/journal/events.ts';
import { hasEffect } from '../../saga/definition/kind-names.ts';
import type {
  TimelineAttempt,
  Timeline,
  TimelineCall,
  TimelineCompensation,
  TimelineNote,
} from './saga-timeline-model.ts';
import { failedAttempt, numberGroups, openState, remainingOf, unknownEvent } from './saga-timeline-parts.ts';
import type { SentByRun } from './sent-by-run.ts';

export interface TimelineOptions {
  readonly status: RunStatus;
  readonly rows: readonly JournalRow[];
  /** Milliseconds since the epoch, on the database's clock. */
  readonly now: number;
  /** Whether a step declares how it is compensated. Default: all but sleeps and waits. */
  readonly undoable?: ((step: string) => boolean) | undefined;
  /** What the run sent, as showRun has it. Default: not known. */
  readonly sent?: readonly SentByRun[] | undefined;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
/** `from` and `to`: places in the journal; what comes in one commit has an order as well. */
type Call = Mutable<TimelineCall> & { readonly from: number; to: number | null };

interface Fold {
  place: number;
  readonly calls: Call[];
  readonly compensations: Mutable<TimelineCompensation>[];
  readonly notes: TimelineNote[];
  startedAt: number;
  input: unknown;
  compensating: Timeline['compensating'];
  stuck: Timeline['stuck'];
  result: unknown;
  endedAt: number | null;
}

export function foldTimeline({ status, rows, now, undoable, sent = [] }: TimelineOptions): Timeline {
  const fold: Fold = {
    place: 0,
    calls: [],
    compensations: [],
    notes: [],
    startedAt: rows[0]?.at ?? now,
    input: undefined,
    compensating: null,
    stuck: null,
    result: undefined,
    endedAt: null,
  };
  for (const { at, events } of rows) {
    for (const event of events) {
      fold.place += 1;
      take(fold, event, at);
    }
  }
  settle(fold, status, now);
  numberGroups(fold.calls);
  handOut(fold, sent);
  const { startedAt, input, notes, compensating, compensations, result, endedAt } = fold;
  const calls = fold.calls.map(({ from: _from, to: _to, ...call }): TimelineCall => call);
  const stuck = status === 'stuck' ? fold.stuck : null;
  const ended = status === 'completed' || status === 'compensated';
  const remaining = compensating === null || ended ? [] : remainingOf(calls, compensations, undoable);
  return { startedAt, input, calls, notes, compensating, compensations, remaining, stuck, result, endedAt };
}

function take(fold: Fold, event: JournalEvent, at: number): void {
  switch (event.t) {
    case 'started':
      fold.startedAt = at;
      fold.input = event.input;
      return;
    case 'called':
      fold.calls.push(newCall(event, at, fold.place));
      return;
    case 'attempt failed':
    case 'done':
    case 'failed':
    case 'timed out':
    case 'verified':
      return takeOutcome(fold, event, at);
    case 'compensating':
    case 'compensation failed':
    case 'compensated':
    case 'skipped':
    case 'resolved':
      return takeCompensationEvent(fold, event, at);
    case 'undoing':
      fold.compensating = { at, reason: event.reason, error: event.error ?? null, actor: event.actor ?? null };
      return;
    case 'completed':
      fold.result = event.result;
      fold.endedAt = at;
      return;
    case 'undone':
      fold.endedAt = at;
      return;
    case 'stuck':
      fold.stuck = { at, why: event.why, call: event.call ?? null, error: event.error };
      return note(fold, event, at);
    case 'retried': {
      const gaveUp = fold.compensations.find(({ state }) => state === 'gave up');
      if (gaveUp !== undefined) {
        const failedAttempts = triedAgainAt(gaveUp.failedAttempts, at);
        Object.assign(gaveUp, { state: 'running', endedAt: null, failedAttempts });
      }
      for (const { call: id, until = null, child } of event.anew ?? []) {
        const call = find(fold, id);
        if (call === undefined) continue;
        const { error, endedAt, attempts } = call;
        if (error !== null && endedAt !== null) {
          const last = { t: 'attempt failed', call: id, attempt: attempts, error, retryAt: at } as const;
          call.failedAttempts = [...call.failedAttempts, failedAttempt(last, endedAt)];
        }
        Object.assign(call, { state: openState(call), endedAt: null, to: null, until, child: child ?? call.child });
      }
      return note(fold, event, at);
    }
    case 'late reply': {
      const call = find(fold, event.call);
      if (call !== undefined) call.lateReply = event.outcome;
      return note(fold, event, at);
    }
    case 'trying':
      return;
    case 'recovered':
    case 'signal':
    case 'refused':
    case 'held':
      return note(fold, event, at);
    default:
      return note(fold, unknownEvent(event), at);
  }
}

function newCall(event: Extract<JournalEvent, { t: 'called' }>, at: number, place: number): Call {
  return {
    call: event.call,
    kind: event.kind,
    pivot: event.pivot === true,
    step: event.step,
    startedAt: at,
    endedAt: null,
    attempts: 1,
    failedAttempts: [],
    state: openState(event),
    input: event.input,
    output: undefined,
    error: null,
    fallbackError: null,
    until: event.until ?? null,
    retryAt: null,
    child: event.child ?? null,
    messages: [],
    group: null,
    verified: null,
    lateReply: null,
    resolved: null,
    doubt: false,
    from: place,
    to: null,
  };
}

type OutcomeEvent = Extract<JournalEvent, { t: 'attempt failed' | 'done' | 'failed' | 'timed out' | 'verified' }>;

function takeOutcome(fold: Fold, event: OutcomeEvent, at: number): void {
  const call = find(fold, event.call);
  if (call === undefined) return;
  if (event.t === 'verified') {
    call.verified = event.outcome;
    return;
  }
  if (event.t === 'attempt failed') {
    Object.assign(call, { attempts: event.attempt, error: event.error, retryAt: event.retryAt, state: 'retrying' });
    call.failedAttempts = [...call.failedAttempts, failedAttempt(event, at)];
    return;
  }
  const tries = call.retryAt === null ? call.attempts : call.attempts + 1;
  Object.assign(call, { endedAt: at, to: fold.place, retryAt: null });
  if (event.t === 'timed out') call.state = 'timed out';
  else if (event.t === 'failed') {
    call.attempts = Math.max(1, event.attempts);
    call.error = event.error;
    call.fallbackError = event.fallback ?? null;
    call.state = event.outcome === 'unknown' ? 'in doubt' : 'failed';
  } else {
    call.attempts = tries;
    call.doubt = event.doubt === true;
    call.output = event.output;
    call.error = event.degraded ?? null;
    call.state = event.degraded === undefined ? 'done' : 'degraded';
  }
}

type CompensationEvent = Extract<
  JournalEvent,
  { t: 'compensating' | 'compensation failed' | 'compensated' | 'skipped' | 'resolved' }
>;

function takeCompensationEvent(fold: Fold, event: CompensationEvent, at: number): void {
  if (event.t === 'resolved' && event.call === WHOLE_RUN) return note(fold, event, at);
  if (event.t === 'resolved' && event.as !== 'compensated' && fold.compensating === null) {
    const call = find(fold, event.call);
    if (call === undefined) return;
    const { as, actor, reason } = event;
    Object.assign(call, { resolved: { as, actor, reason }, endedAt: call.endedAt ?? at, to: call.to ?? fold.place });
    call.state = as === 'done' ? 'done' : 'failed';
    if (as === 'done') call.output = event.output;
    return;
  }
  const open = fold.compensations.findLast(
    ({ call, state }) => call === event.call && (state === 'running' || state === 'retrying' || state === 'gave up'),
  );
  if (event.t === 'compensating') {
    if (open !== undefined && open.round === event.round) Object.assign(open, { state: 'running', endedAt: null });
    else fold.compensations.push(newCompensation(fold, event.call, event.round, at));
    return;
  }
  // What was resolved by hand is recorded as compensated as well.
  const byHand = fold.compensations.findLast(({ call }) => call === event.call)?.state === 'resolved';
  if (open === undefined && event.t === 'compensated' && byHand) return;
  const compensation = open ?? newCompensation(fold, event.call, 1, at);
  if (open === undefined) fold.compensations.push(compensation);
  if (event.t === 'compensation failed') {
    const last = event.retryAt === undefined;
    Object.assign(compensation, {
      attempts: event.attempt,
      error: event.error,
      retryAt: event.retryAt ?? null,
      state: last ? 'gave up' : 'retrying',
      failedAttempts: [...compensation.failedAttempts, failedAttempt(event, at)],
    });
    if (last) compensation.endedAt = at;
    return;
  }
  // Begun by the failures that are recorded, and by the last one, which was not.
  if (event.t === 'compensated' && compensation.error !== null) compensation.attempts += 1;
  compensation.retryAt = null;
  compensation.endedAt = at;
  if (event.t === 'compensated') Object.assign(compensation, { state: 'compensated', error: null });
  else {
    compensation.state = event.t === 'skipped' ? 'skipped' : 'resolved';
    compensation.byHand = { actor: event.actor, reason: event.reason };
  }
}

/** A person had it tried again. */
function triedAgainAt(attempts: readonly TimelineAttempt[], at: number): readonly TimelineAttempt[] {
  return attempts.map((each) => (each.retryAt === null ? { ...each, retryAt: at } : each));
}

function newCompensation(fold: Fold, call: string, round: number, at: number): Mutable<TimelineCompensation> {
  const kind = find(fold, call)?.kind ?? null;
  return {
    call,
    kind,
    round,
    startedAt: at,
    endedAt: null,
    attempts: 1,
    failedAttempts: [],
    state: 'running',
    error: null,
    retryAt: null,
    byHand: null,
    messages: [],
  };
}

/** Messages to their calls, and to what compensates these. */
function handOut(fold: Fold, sent: readonly SentByRun[]): void {
  const of = (id: string, isBack: boolean): readonly SentByRun[] =>
    sent.filter(({ call, role }) => call === id && (role === 'compensation') === isBack);
  if (sent.length === 0) return;
  for (const call of fold.calls) call.messages = of(call.call, false);
  for (const compensation of fold.compensations) compensation.messages = of(compensation.call, true);
}

function note(fold: Fold, event: TimelineNote['event'], at: number): void {
  const compensating = fold.compensating !== null;
  fold.notes.push({ at, compensating, after: compensating ? fold.compensations.length : fold.calls.length, event });
}

function find(fold: Fold, call: string): Call | undefined {
  return fold.calls.findLast((each) => each.call === call);
}

/** What has no outcome: under way, or given up. */
function settle(fold: Fold, status: RunStatus, now: number): void {
  const over = fold.endedAt !== null || fold.compensating !== null;
  for (const call of fold.calls) {
    if (call.endedAt !== null) continue;
    // Also of a kind that is not known here: nothing is said of it that may be wrong.
    const passive = !hasEffect(call.kind);
    if (over) call.state = passive || fold.compensating === null ? 'dropped' : 'in doubt';
    else if (status === 'stuck') call.state = 'halted';
    else if (call.retryAt !== null && call.retryAt <= now) {
      Object.assign(call, { state: openState(call), attempts: call.attempts + 1, retryAt: null });
    }
  }
  for (const compensation of fold.compensations) {
    if (
      compensation.state === 'retrying' &&
      compensation.retryAt !== null &&
      compensation.retryAt <= now &&
      status !== 'stuck'
    ) {
      Object.assign(compensation, { state: 'running', attempts: compensation.attempts + 1, retryAt: null });
    }
  }
}

/**
 * What is asked of runs of sagas: how did they end, and what was compensated? Of runs under test, and, but for the order of compensations, of
 * runs on PostgreSQL as well.
 */
import { HoldfastError } from '../../errors.ts';
import type { JournalEvent, StuckWhy } from '../../saga/journal/events.ts';
import type { RunView } from '../../saga/store/store.ts';
import { isPartOf } from './part-of.ts';
import { shownError, nearestText, notFor, shownPayload, verdict, type MatcherVerdict } from './verdict.ts';

interface AskedRun {
  readonly id: string;
  status(): Promise<RunView>;
  /** Of runs under test. */
  history?(): Promise<readonly JournalEvent[]>;
}

interface SeenRun {
  readonly view: RunView;
  /** Null where it cannot be had. */
  readonly history: readonly JournalEvent[] | null;
}

export async function judgeCompleted(given: unknown, result: unknown): Promise<MatcherVerdict> {
  const seen = await see(given, 'toHaveCompleted');
  const { view } = seen;
  const completed = view.status === 'completed';
  return verdict(
    completed && (result === undefined || isPartOf(result, view.result)),
    () =>
      completed
        ? `Expected ${nameOf(view)} to have completed with\n  ${shownPayload(result)}\nbut its result is another one.\n${nearestText(result, [view.result])}`
        : `Expected ${nameOf(view)} to have completed, but ${stateText(seen)}`,
    () => `Expected ${nameOf(view)} not to have completed, but it has, with\n  ${shownPayload(view.result)}`,
  );
}

/** @param calls in the order of their compensation; empty: whatever was */
export async function judgeCompensated(given: unknown, calls: readonly string[]): Promise<MatcherVerdict> {
  const seen = await see(given, 'toHaveCompensated');
  const { view, history } = seen;
  if (calls.length > 0 && history === null)
    throw new HoldfastError('HF_CONFIG', 'toHaveCompensated cannot tell what was compensated of this run.', {
      advice: 'Name no steps, or ask it of a run of testSagas.',
    });
  const compensated = compensatedCalls(history ?? []);
  const same = calls.length === 0 || isPartOf(calls, compensated);
  return verdict(
    view.status === 'compensated' && same,
    () =>
      view.status === 'compensated'
        ? `Expected ${nameOf(view)} to have compensated ${calls.join(', ')}, but it has compensated ${compensated.join(', ') || 'nothing'}.`
        : `Expected ${nameOf(view)} to be compensated, but ${stateText(seen)}`,
    () => `Expected ${nameOf(view)} not to be compensated, but ${stateText(seen)}`,
  );
}

export async function judgeStuck(given: unknown, why: StuckWhy | undefined): Promise<MatcherVerdict> {
  const seen = await see(given, 'toBeStuck');
  const { view, history } = seen;
  const reason = history === null ? undefined : stuckEvent(history)?.why;
  if (why !== undefined && history === null)
    throw new HoldfastError('HF_CONFIG', 'toBeStuck cannot tell why this run is stuck.', {
      advice: 'Leave the reason away, or ask it of a run of testSagas.',
    });
  const stuck = view.status === 'stuck';
  return verdict(
    stuck && (why === undefined || why === reason),
    () =>
      stuck
        ? `Expected ${nameOf(view)} to be stuck (${why}), but ${stateText(seen)}`
        : `Expected ${nameOf(view)} to be stuck, but ${stateText(seen)}`,
    () => `Expected ${nameOf(view)} not to be stuck, but ${stateText(seen)}`,
  );
}

async function see(given: unknown, matcher: string): Promise<SeenRun> {
  const run = given as Partial<AskedRun> | null | undefined;
  if (typeof run?.status !== 'function') throw notFor(matcher, 'a run');
  const view = await run.status();
  return { view, history: typeof run.history === 'function' ? await run.history() : null };
}

function nameOf({ id, saga }: RunView): string {
  return `run ${id} of ${saga}`;
}

/** What it is instead, with its steps where they are known. */
function stateText({ view, history }: SeenRun): string {
  const error = view.error === null ? '' : `: ${shownError(view.error)}`;
  const stuck = history === null || view.status !== 'stuck' ? undefined : stuckEvent(history);
  const at = stuck === undefined ? '' : ` (${stuck.why}${stuck.call === undefined ? '' : `, at ${stuck.call}`})`;
  const steps = history === null ? [] : stepTexts(history);
  return `it is ${view.status}${at}${error}${steps.length === 0 ? '.' : `\n${steps.map((step) => `  ${step}`).join('\n')}`}`;
}

function stuckEvent(history: readonly JournalEvent[]): Extract<JournalEvent, { readonly t: 'stuck' }> | undefined {
  return history.findLast((event) => event.t === 'stuck');
}

/** Those that were compensated, in that order. */
function compensatedCalls(history: readonly JournalEvent[]): readonly string[] {
  return history.flatMap((event) => (event.t === 'compensated' ? [event.call] : []));
}

function stepTexts(history: readonly JournalEvent[]): readonly string[] {
  return history.flatMap((event) => {
    switch (event.t) {
      case 'done':
      case 'compensated':
        return [`${event.call}: ${event.t}`];
      case 'failed':
        return [`${event.call}: failed: ${event.error.message}`];
      case 'compensation failed':
        return [`${event.call}: compensation failed: ${event.error.message}`];
      case 'called':
        return event.kind === 'sleep' || event.kind === 'wait' ? [`${event.call}: waits`] : [];
      default:
        return [];
    }
  });
}

/**
 * A run without an engine and a database: whatever is decided about it stands in the row that it fills, and in its intents.
 */
import { afterwards } from '../../src/saga/decide/afterwards.ts';
import { collectCalls } from '../../src/saga/decide/calls.ts';
import { takeRunEvent } from '../../src/saga/decide/take-run-event.ts';
import type { AnySaga, Saga } from '../../src/saga/definition/definition.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../src/saga/journal/growth.ts';
import type { CallState } from '../../src/saga/journal/state.ts';
import type { NewCall } from '../../src/saga/kinds/kind.ts';
import type { DecisionContext, FailedResult, RunEvent } from '../../src/saga/run/run-events.ts';
import { Run, type RunIdentity } from '../../src/saga/run/run.ts';
import type { RunMessageBody } from '../../src/saga/store/store.ts';

export const RUN_ID = '01890a5d-ac96-774b-bcce-b302099a8057';

export const context = (now: number): DecisionContext => ({ now, random: () => 0 });

/** A run that has just started, at 1000, with the input `{}`. */
export function runOf(saga: AnySaga, parent: RunIdentity['parent'] = null): Run {
  const settings = { maxBytes: 1_000_000, replyTo: 'replies', ...DEFAULT_JOURNAL_LIMITS };
  const run = new Run(saga as unknown as Saga, { id: RUN_ID, claims: 1, parent }, null, settings);
  run.recordStarted({}, '{}', 1_000);
  run.messagesKnownAt = Infinity;
  return run;
}

/** What the code of the run asks for. */
export const asks = (kind: NewCall['kind'], name: string, more: Partial<NewCall> = {}): NewCall => ({
  id: name,
  kind,
  step: name,
  input: '{"id":"o1"}',
  waitMs: null,
  untilAt: null,
  ...more,
});

/** Makes a call, commits it, and lets its attempt begin. */
export async function call(run: Run, kind: NewCall['kind'], name: string, now = 1_000): Promise<CallState> {
  await collectCalls(run, [asks(kind, name)], context(now));
  commit(run);
  return callOf(run, name);
}

export function callOf(run: Run, id: string): CallState {
  const found = run.state.calls.get(id);
  if (found === undefined) throw new Error(`${id} was not recorded.`);
  return found;
}

/** What was recorded so far is durable, and what it intends has begun. */
export function commit(run: Run): void {
  run.flush(null);
  for (const { call: begun } of run.intents) begun.unbegun = false;
  run.intents = [];
}

/** Takes one thing in, and goes on as far as that leads. */
export async function take(run: Run, event: RunEvent, now: number): Promise<void> {
  await takeRunEvent(run, event, context(now));
  await afterwards(run, context(now));
}

let messages = 0;

/** Takes a message in that has come just now. */
export function tell(run: Run, body: RunMessageBody, now: number): Promise<void> {
  return take(run, messageOf(body, now), now);
}

export function messageOf(body: RunMessageBody, at: number): RunEvent {
  messages += 1;
  return { kind: 'message', runMessage: { id: String(messages), runId: RUN_ID, at, body } };
}

/** An attempt that failed; what came of it is not known. */
export const failedWith = (more: Partial<FailedResult> = {}): FailedResult => ({
  kind: 'failed',
  error: { name: 'Error', message: 'down' },
  permanent: false,
  doubt: true,
  ...more,
});

/** One that failed for certain, and will again. */
export const REFUSED = failedWith({ permanent: true, doubt: false });

export const attempt = (of: CallState, result: FailedResult | 'done'): RunEvent => ({
  kind: 'attempt',
  call: of,
  result: result === 'done' ? { kind: 'done', output: '"done"' } : result,
});

/** What stands in the row that is being filled. */
export function recorded(run: Run): readonly JournalEvent[] {
  return run.unwritten.map((text) => JSON.parse(text) as JournalEvent);
}

export const types = (run: Run): readonly string[] => recorded(run).map(({ t }) => t);

/**
 * A run that is taken up from its journal: what was under way when it was left. An attempt of which nothing is known is recorded
 * as one that was lost, which uses up none, and is made again; timers follow from the journal.
 */
import type { JournalRow, RecordedError } from '../journal/events.ts';
import { createFlow } from '../replay/flow.ts';
import { afterwards } from './afterwards.ts';
import { begin, collectCalls } from './calls.ts';
import { lostItsWorker, mayHaveBegun } from './lost-attempts.ts';
import { takeRevocations } from './revocations.ts';
import { replay } from '../replay/replay.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { valueOf, type CallState } from '../journal/state.ts';
import { canBeInDoubt, isAttempted, kindOf } from '../kinds/table.ts';
import { logRejectionOfRun } from './unhandled-rejections.ts';
import { inTime, turn } from '../replay/turn.ts';

const LOST: RecordedError = {
  name: 'HoldfastError',
  code: 'HF_STEP_LOST',
  message: 'The worker was lost during this attempt; whether it happened is not known.',
};

const LOST_ATTEMPT = { kind: 'failed', error: LOST, permanent: false, uncounted: 'lost' } as const;

/** Whether taking the run up means running its code. */
export function runsCode({ state }: Run): boolean {
  return state.phase === 'forward' && state.stuck === null && !state.held;
}

/** Brings a loaded run to where it was left: its code replayed, and what was under way put on again. */
export async function recover(run: Run, journal: readonly JournalRow[], context: DecisionContext): Promise<void> {
  const { state } = run;
  const willRunCode = runsCode(run);
  // What is not wanted any more before it has begun does not begin: not even its first message goes out.
  if (willRunCode && state.calls.size === 0) takeRevocations(run, context);
  // The revocation may have turned it back just now.
  if (willRunCode && state.phase === 'forward') await replayCode(run, journal, context);
  else resume(run, context);
  await inTime(afterwards(run, context));
}

async function replayCode(run: Run, journal: readonly JournalRow[], context: DecisionContext): Promise<void> {
  const { maxBytes } = run.settings;
  const make = () =>
    createFlow({
      saga: run.saga,
      runId: run.id,
      input: valueOf(run.state.input),
      maxBytes,
      onStray: logRejectionOfRun(run),
    });
  const { fit, flow } = await replay(run.saga, make, journal, turn);
  if (fit.kind === 'mismatch') {
    run.setMismatch({ why: fit.why, call: null, error: fit.error });
    return;
  }
  run.flow = fit.ending === null ? flow : null;
  run.ending = fit.ending;
  resume(run, context);
  // Nor does what comes next begin: not a pivot, which could not be taken back, and not the end.
  if (fit.calls.length > 0 || fit.ending !== null) takeRevocations(run, context);
  if (run.state.phase !== 'forward') return;
  const later = collectCalls(run, fit.calls, context);
  if (later !== undefined) await inTime(later);
}

function resume(run: Run, context: DecisionContext): void {
  const { state } = run;
  if (state.phase === 'completed' || state.phase === 'compensated' || state.stuck !== null) return;
  const crashed = lostItsWorker(run);
  if (crashed) run.record({ t: 'recovered', lost: run.lost }, context.now);
  if (state.phase === 'forward') for (const call of state.open) resumeCall(run, call, crashed, context);
  for (const call of state.calls.values())
    if (call.compensation?.state === 'open') resumeCompensation(run, call, crashed, context);
}

function resumeCall(run: Run, call: CallState, crashed: boolean, context: DecisionContext): void {
  const kind = kindOf(call);
  const definition = run.step(call.step);
  if (definition?.kind === call.kind) kind.recover?.(call, definition, context.now);
  // Of what is written with its call the outcome is as well, unless the worker was lost just between; a signal may be recorded, and the
  // worker lost before the code was told.
  if (!isAttempted(call)) return begin(run, call);
  if (call.retryAt !== null && call.retryAt > context.now) return;
  if (crashed && mayHaveBegun(call)) {
    // When it was due before says nothing any more: what comes of its loss says when it is made again.
    call.retryAt = null;
    // A transaction that is not committed has not happened.
    run.runEvents.push({ kind: 'attempt', call, result: { ...LOST_ATTEMPT, doubt: canBeInDoubt(call) } });
    return;
  }
  call.retryAt = null;
  begin(run, call);
}

function resumeCompensation(run: Run, call: CallState, crashed: boolean, context: DecisionContext): void {
  const { compensation } = call;
  const kind = kindOf(call);
  const step = run.step(call.step);
  if (compensation === null) return;
  if (step?.kind === call.kind && kind.recoverCompensation !== undefined)
    return kind.recoverCompensation(compensation, step, context.now);
  const due = (compensation.retryAt ?? 0) <= context.now;
  // Compensations bear being repeated: that is what they are for.
  if (crashed && due && mayHaveBegun(compensation)) {
    compensation.retryAt = null;
    run.runEvents.push({ kind: 'compensation', call, result: { ...LOST_ATTEMPT, doubt: true } });
  } else compensation.retryAt ??= 0;
}

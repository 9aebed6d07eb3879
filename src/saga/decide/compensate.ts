/**
 * The way back: a run that is compensated is driven by its journal and its declared steps alone. Also the end of a run that completes: what
 * it was told had failed, and yet may have happened, is compensated first.
 */
import { nextCompensation, type CompensationMove } from '../journal/compensation.ts';
import type { RecordedError } from '../journal/events.ts';
import { hasOtherChild } from '../journal/call-contract.ts';
import { recordError } from '../journal/recorded-error.ts';
import type { CallState } from '../journal/state.ts';
import { kindOf } from '../kinds/table.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { compensationId } from './compensation-id.ts';
import { compensationFailed } from './compensation-outcome.ts';
import { prepared, type Prepared } from './prepared.ts';
import { BeingCompensated, endCall, hasEnded } from './request-compensation.ts';

/** The message that compensates a call, made ready; null: the call is not compensated by one. */
export type PreparedCompensation = Prepared<string | null> | null;

export function isCompensatedByMessage(run: Run, call: CallState): boolean {
  return kindOf(call).prepareCompensation !== undefined && run.step(call.step)?.kind === call.kind;
}

/** That message; undefined: there is none. */
export function prepareCompensationOf(run: Run, call: CallState): Promise<Prepared<string | null>> | undefined {
  const kind = kindOf(call);
  const step = run.step(call.step);
  if (step?.kind !== call.kind || kind.prepareCompensation === undefined) return undefined;
  return prepared(kind.prepareCompensation(run, step, call));
}

/**
 * Goes on compensating as far as it can without waiting for more than a message to be made ready; `scope` as in nextCompensation. Resolves
 * whether nothing is left to compensate.
 */
export async function advanceCompensation(
  run: Run,
  context: DecisionContext,
  scope: 'all' | 'abandoned',
): Promise<boolean> {
  let ready = null as Ready | null;
  while (run.state.stuck === null && run.mismatch === null) {
    const move = nextCompensation(run.state, (name) => run.step(name), scope);
    if (move.kind === 'finished') return true;
    const making: Promise<Ready> | undefined = ready?.call === callOf(move) ? undefined : prepareAhead(run, move);
    if (making !== undefined) {
      // What is to be compensated next may be another call by then.
      ready = await making;
      continue;
    }
    const message: PreparedCompensation = ready?.message ?? null;
    ready = null;
    if (!makeMove(run, move, message, context)) return false;
  }
  return false;
}

type Move = Exclude<CompensationMove, { kind: 'finished' }>;

interface Ready {
  readonly call: CallState;
  readonly message: PreparedCompensation;
}

function callOf(move: Move): CallState | null {
  return move.kind === 'compensate' ? move.call : null;
}

function prepareAhead(run: Run, move: Move): Promise<Ready> | undefined {
  const call = callOf(move);
  return call === null ? undefined : prepareCompensationOf(run, call)?.then((message) => ({ call, message }));
}

/** Returns whether there may be more to do just now. */
function makeMove(run: Run, move: Move, message: PreparedCompensation, context: DecisionContext): boolean {
  switch (move.kind) {
    case 'compensate':
      return compensate(run, move, message, context);
    case 'settle':
      return settleOpenCalls(run, move.calls, context);
    case 'under way':
      checkChildOffered(run, move.call);
      return false;
    case 'verify':
      askVerify(run, move.call, context);
      return false;
    case 'in doubt':
      run.recordStuck({ why: 'in doubt', call: move.call, error: move.call.error ?? NOBODY_KNOWS }, context.now);
      return false;
    case 'pivoted':
      run.recordStuck({ why: 'forward', call: move.call, error: pivotHappened(move.call) }, context.now);
      return false;
    case 'undefined':
      run.setMismatch({ why: 'undefined step', call: move.call, error: undefinedStep(run, move.call) });
      return false;
  }
}

function askVerify(run: Run, call: CallState, context: DecisionContext): void {
  if ((call.asked.againAt ?? 0) > context.now) return;
  call.asked.againAt = null;
  if (run.intents.some((intent) => intent.kind === 'verify') || run.inFlight.has(compensationId(call))) return;
  run.intents.push({ kind: 'verify', call });
}

/** Attempts under way are waited for; everything else that is open is in doubt. Returns whether anything changed. */
function settleOpenCalls(run: Run, calls: readonly CallState[], context: DecisionContext): boolean {
  let changed = false;
  for (const call of calls) {
    // Under way, or over and not yet taken in.
    if (run.inFlight.has(call.id) || hasEnded(run, call)) continue;
    // A transaction that is not committed has not happened; of everything else that was begun nobody knows.
    const doubt = kindOf(call).endsBy !== 'transaction';
    const error =
      call.error ?? recordError(new BeingCompensated('The run was compensated before the outcome was known.'));
    endCall(run, call, { error, doubt }, context);
    changed = true;
  }
  return changed;
}

/** Begins to compensate a call. Returns whether that is over at once. */
export function compensate(
  run: Run,
  { call, round }: { readonly call: CallState; readonly round: number },
  message: PreparedCompensation,
  context: DecisionContext,
): boolean {
  run.record({ t: 'compensating', call: call.id, round }, context.now);
  if (message !== null && 'cause' in message) {
    const error = recordError(message.cause);
    compensationFailed(run, call, { kind: 'failed', error, permanent: true, doubt: false }, context);
    return false;
  }
  return beginCompensation(run, call, message?.value ?? null, context);
}

/** What a kind does to compensate a call, the first time or once more. Returns whether it is over at once. */
export function beginCompensation(
  run: Run,
  call: CallState,
  message: string | null,
  context: DecisionContext,
): boolean {
  const step = run.step(call.step);
  if (step === undefined) return false;
  switch (kindOf(call).compensate?.(run, step, { call, message, now: context.now })) {
    case 'attempt':
      run.intents.push({ kind: 'compensate', call });
      return false;
    case 'done':
      run.record({ t: 'compensated', call: call.id }, context.now);
      return true;
    case 'waits':
    case undefined:
      checkChildOffered(run, call);
      return false;
  }
}

/** A compensation that had given up, and that the run was stuck at, is attempted anew. */
export function compensateAgain(run: Run, callId: string | null, context: DecisionContext): void {
  const call = callId === null ? undefined : run.state.calls.get(callId);
  if (call?.compensation?.state !== 'open') return;
  // A message is made ready, and sent, by its timer.
  if (kindOf(call).prepareCompensation !== undefined) call.compensation.retryAt = 0;
  else beginCompensation(run, call, null, context);
}

/** A child is asked to compensate itself; that there is nobody to do it is not left unsaid (mismatches.ts). */
function checkChildOffered(run: Run, call: CallState): void {
  const step = run.step(call.step);
  if (call.child === null || run.lookedAfter.has(call.id) || !hasOtherChild(call, step)) return;
  const offer = `${step?.saga?.name ?? ''} version ${String(call.version)}`;
  const error = {
    name: 'HoldfastError',
    code: 'HF_SAGA_DEFINITION',
    message:
      `${run.saga.name}, ${call.id} is to be compensated: its child ${call.child} is of ${offer}, which no worker offers any more. ` +
      'Start a worker that has that version too, and the run goes on by itself; or compensate the child by hand and skip it.',
  };
  run.setMismatch({ why: 'undefined step', call, error, child: call.child });
}

const NOBODY_KNOWS: RecordedError = { name: 'Error', message: 'Nobody can say whether it happened.' };

function pivotHappened(call: CallState): RecordedError {
  return {
    name: 'HoldfastError',
    code: 'HF_SAGA_PIVOTED',
    message: `The pivot ${call.id} has happened, as it turned out while the run was being compensated. Skip it to compensate what came before it all the same.`,
  };
}

/** What would compensate the call is not declared here. */
export function undefinedStep(run: Run, call: CallState): RecordedError {
  const { saga } = run;
  const what =
    run.step(call.step)?.kind === call.kind
      ? `declares the ${call.kind} ${call.step} without what compensates it, which it had when ${call.id} was called`
      : `declares no ${call.kind} ${call.step} any more`;
  return {
    name: 'HoldfastError',
    code: 'HF_SAGA_DEFINITION',
    message:
      `${saga.name} version ${saga.version} ${what}, and ${call.id} is to be compensated. ` +
      'Deploy it with that and retry, or skip it.',
  };
}

/**
 * What the code of a run does in answer to what it was told: its calls, in their order, and its end. What leaves with a call (a message, a
 * child's input) is made ready before anything is recorded, so that recording waits for nothing.
 */
import { wireCall } from '../definition/call-id.ts';
import { isBug } from '../definition/bugs.ts';
import { hasEffect } from '../definition/kind-names.ts';
import { bytesOf, refuseCalls } from '../journal/growth.ts';
import { contractOf } from '../journal/call-contract.ts';
import { rebuildError } from '../journal/recorded-error.ts';
import type { CallState } from '../journal/state.ts';
import type { NewCall } from '../kinds/kind.ts';
import { isAttempted, kindOf } from '../kinds/table.ts';
import { turn } from '../replay/turn.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { tryComplete } from './completion.ts';
import { prepared, type Prepared } from './prepared.ts';
import { tell } from './outcomes.ts';
import { takeRevocations } from './revocations.ts';
import { assignSignal } from './signals.ts';

/** What the code did since it was told something. A promise where anything has to be made ready for what it asks for. */
export function collect(run: Run, context: DecisionContext): Promise<void> | undefined {
  const { flow } = run;
  if (flow === null) return undefined;
  const looked = flow.look();
  if (looked.violation !== null) {
    run.recordStuck({ why: 'outside await', call: null, error: looked.violation }, context.now);
    return undefined;
  }
  if (looked.ending !== null) {
    run.ending = looked.ending;
    run.flow = null;
  }
  return collectCalls(run, looked.calls, context);
}

/** As collect, of calls that are known. */
export function collectCalls(run: Run, calls: readonly NewCall[], context: DecisionContext): Promise<void> | undefined {
  if (calls.length > 0 && isFull(run, calls, context)) return undefined;
  const making = prepareAhead(run, calls);
  if (making === undefined) {
    recordCalls(run, calls, null, context);
    return undefined;
  }
  return making.then(async (ready) => {
    if (!recordCalls(run, calls, ready, context)) return;
    // The code was told of a call that cannot be made, and may have answered.
    await turn();
    await collect(run, context);
  });
}

/** Whether there is no room for the calls: all of them are asked for before the first one is recorded. */
function isFull(run: Run, calls: readonly NewCall[], context: DecisionContext): boolean {
  const bytes = calls.reduce((sum, { input }) => sum + bytesOf(input), 0);
  const about = { id: run.id, saga: run.saga.name };
  const refusal = refuseCalls(about, run.size, { count: calls.length, bytes }, run.settings);
  if (refusal === null) return false;
  run.recordStuck({ why: 'journal full', call: null, error: refusal }, context.now);
  return true;
}

type ReadyCalls = readonly (Prepared<string> | undefined)[];

/** Makes ready what leaves with the calls, by their places; undefined: nothing does. */
function prepareAhead(run: Run, calls: readonly NewCall[]): Promise<ReadyCalls> | undefined {
  if (!calls.some((call) => kindOf(call).prepare !== undefined)) return undefined;
  return Promise.all(calls.map(async (call) => prepareCall(run, call)));
}

function prepareCall(run: Run, call: NewCall): Promise<Prepared<string>> | undefined {
  const kind = kindOf(call);
  const definition = run.step(call.step);
  if (kind.prepare === undefined || definition === undefined) return undefined;
  const { id, input } = call;
  return prepared(kind.prepare(run, definition, { id, name: nextWireCall(run, id), input }));
}

/** Records calls and the end of the code. Returns whether the code was told at once that a call cannot be made. */
function recordCalls(run: Run, calls: readonly NewCall[], ready: ReadyCalls | null, context: DecisionContext): boolean {
  let told = false;
  // What has come meanwhile may be that it is not wanted any more. Then what was to begin with the pivot does not.
  if (calls.some(({ step }) => run.step(step)?.pivot === true)) takeRevocations(run, context);
  if (run.state.phase !== 'forward') return false;
  for (const [index, call] of calls.entries()) {
    if (run.state.stuck !== null) return false;
    const of = ready?.[index];
    if (of !== undefined && 'cause' in of) told = refuseCall(run, call, of.cause, context) || told;
    else recordCall(run, call, of?.value, context);
  }
  if (!told) tryComplete(run, context);
  return told;
}

function recordCall(run: Run, asked: NewCall, ready: string | undefined, context: DecisionContext): void {
  const { id, kind, step, input } = asked;
  const definition = hasEffect(kind) ? run.step(step) : undefined;
  if (definition === undefined && hasEffect(kind)) return;
  const own = kindOf(asked);
  const at = run.openRow(context.now);
  const until = own.until(definition, at, asked);
  const child = own.childId?.(run.id, nextWireCall(run, id));
  // One that waits for another pivot is known already, and stays in the store until that has ended.
  if (definition?.pivot === true && run.pendingCompensation === null) run.guardRow();
  const call = run.recordCalled(
    {
      call: id,
      kind,
      step,
      ...(definition === undefined ? {} : contractOf(definition)),
      ...(until === null ? {} : { until }),
      ...(child === undefined ? {} : { child }),
    },
    input,
    context.now,
  );
  if (definition !== undefined && ready !== undefined)
    own.leave?.(run, definition, { call: id, child: call.child, ready, at });
  begin(run, call);
}

/** What follows at once from a call that is recorded. */
export function begin(run: Run, call: CallState): void {
  const { endsBy } = kindOf(call);
  if (isAttempted(call)) {
    call.unbegun = true;
    run.intents.push({ kind: 'attempt', call });
  }
  // Nobody answers it. Told by the next event, in its place in the journal.
  else if (endsBy === 'commit') run.runEvents.push({ kind: 'sent', call });
  else if (endsBy === 'signal') assignSignal(run, call.step);
}

/** A call that cannot be made has failed in the row that records it; the calls made beside it are recorded after that. */
function refuseCall(run: Run, asked: NewCall, cause: unknown, context: DecisionContext): boolean {
  const error = run.errorOf(cause);
  if (isBug(cause, [run.saga.errors, run.settings.errors], 'run')) {
    // Not recorded, nor are those behind it: code that is mended makes the call anew.
    run.recordStuck({ why: 'code', call: null, error }, context.now);
    return false;
  }
  const { id, kind, step, input } = asked;
  const definition = run.step(step);
  const promised = definition === undefined ? {} : contractOf(definition);
  const call = run.recordCalled({ call: id, kind, step, ...promised }, input, context.now);
  run.record({ t: 'failed', call: id, attempts: 1, error, outcome: 'definite' }, context.now);
  return tell(run, call, { kind: 'failed', error: rebuildError(error, step) });
}

/** Of a call that is about to be recorded: once more, where a failure was taken back that it had answered. */
function nextWireCall(run: Run, id: string): string {
  return wireCall({ id, round: (run.state.calls.get(id)?.round ?? 0) + 1 });
}

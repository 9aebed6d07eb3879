/** What people decide about runs that are stuck. */
import { WHOLE_RUN } from '../journal/events.ts';
import { textOf } from '../journal/state.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import type { RunMessageBody } from '../store/store.ts';
import { compensateAgain } from './compensate.ts';
import { refuse } from './refusal.ts';
import type { ReissuedCall } from './reissue.ts';
import { endCompensated, releaseChild, releaseChildren } from './run-end.ts';

type Body<Kind extends RunMessageBody['kind']> = Extract<RunMessageBody, { kind: Kind }>;
type Act = Body<'retry' | 'skip' | 'resolve'>;

/** What a person decided about a stuck run. What no longer fits is recorded as refused. */
export function takeAct(run: Run, body: Act, reissued: readonly ReissuedCall[], context: DecisionContext): void {
  const { stuck } = run.state;
  if (stuck === null) return tooLate(run, body, context);
  if (body.kind === 'retry') return retry(run, body, reissued, context);
  if (body.call !== WHOLE_RUN && body.call !== stuck.call) return tooLate(run, body, context);
  if (body.kind === 'skip') skip(run, body, context);
  else resolve(run, body, context);
}

function tooLate(run: Run, { kind: what, actor, reason }: Act, context: DecisionContext): void {
  refuse(run, { what, actor, ...(reason === undefined ? {} : { reason }) }, context);
}

function retry(run: Run, body: Body<'retry'>, reissued: readonly ReissuedCall[], context: DecisionContext): void {
  const { stuck, phase } = run.state;
  const { actor, reason } = body;
  const anew = reissued.length === 0 ? {} : { anew: reissued.map((each) => each.anew) };
  run.record({ t: 'retried', actor, ...(reason === undefined ? {} : { reason }), ...anew }, context.now);
  for (const { send } of reissued) send();
  if (phase === 'forward') run.stale = true;
  else compensateAgain(run, stuck?.call ?? null, context);
}

/** A run that was about to complete, and compensates what it had given up, is on its way forward. */
function isCompensating({ state }: Run, call: string): boolean {
  return state.phase === 'compensating' || state.calls.get(call)?.compensation?.state === 'open';
}

function skip(run: Run, body: Body<'skip'>, context: DecisionContext): void {
  const { call, actor, reason } = body;
  if (!isCompensating(run, call) || call === WHOLE_RUN) return tooLate(run, body, context);
  run.record({ t: 'skipped', call, actor, reason }, context.now);
  spare(run, call);
}

function resolve(run: Run, body: Body<'resolve'>, context: DecisionContext): void {
  const { stuck, phase } = run.state;
  const { call, as, actor, reason } = body;
  // A run as a whole ends completed, while it goes forward, or as one that is compensated.
  if (call === WHOLE_RUN && as !== 'compensated' && (as !== 'done' || phase !== 'forward'))
    return tooLate(run, body, context);
  const compensating = isCompensating(run, call);
  const output = body.output === undefined ? {} : { output: body.output };
  run.record({ t: 'resolved', call, as, ...output, actor, reason }, context.now);
  if (call === WHOLE_RUN) endByHand(run, body, context);
  else if (!compensating) settleByHand(run, body, context);
  else if (stuck?.why === 'in doubt' && as !== 'compensated')
    run.record({ t: 'verified', call, outcome: as, ...output }, context.now);
  else {
    run.record({ t: 'compensated', call }, context.now);
    spare(run, call);
  }
}

/** A call that a person has settled is not compensated any more; code that goes forward is loaded anew to go on. */
function spare(run: Run, callId: string): void {
  const call = run.state.calls.get(callId);
  if (call !== undefined) releaseChild(run, call);
  run.stale = run.state.phase === 'forward';
}

function endByHand(run: Run, body: Body<'resolve'>, context: DecisionContext): void {
  const output = body.output === undefined ? {} : { output: body.output };
  if (body.as === 'done' && run.state.phase === 'forward') {
    run.recordEnd('completed', textOf(body.output), context.now);
    releaseChildren(run);
    if (run.parent !== null)
      run.post(run.parent.id, { kind: 'child', call: run.parent.call, outcome: 'done', ...output });
  } else {
    if (run.state.phase === 'forward') run.record({ t: 'undoing', reason: 'failed', actor: body.actor }, context.now);
    endCompensated(run, context);
  }
}

/** A call in doubt is settled, and the code, which was never told, is loaded anew to be told. */
function settleByHand(run: Run, body: Body<'resolve'>, context: DecisionContext): void {
  const call = run.state.calls.get(body.call);
  run.stale = true;
  if (call?.outcome !== 'open') return;
  if (body.as === 'done') run.recordDone(call, textOf(body.output), context.now);
  else {
    const error = { name: 'PermanentError', code: 'HF_PERMANENT', message: `Settled by ${body.actor}: ${body.reason}` };
    run.record({ t: 'failed', call: call.id, attempts: call.attempts, error, outcome: 'definite' }, context.now);
  }
}

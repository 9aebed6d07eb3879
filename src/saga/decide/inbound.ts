/**
 * What comes to a run from outside, and what becomes of it. Each piece is taken in (deleted) by the commit that records what it led
 * to, or at once when it changes nothing: a duplicate, or one that comes too late.
 */
import { decodePayload, decodePayloadText } from '../../message/decode.ts';
import { reissueCalls, type ReissuedCall } from './reissue.ts';
import { readWireCall } from '../definition/call-id.ts';
import {
  cancelOf,
  compensate,
  compensationFailed,
  endCompensated,
  continueCompensating,
  isPivotAskedAfter,
  releaseChildren,
  requestCompensation,
  grantCompensation,
} from './compensate.ts';
import { encodeOutput } from '../protocol/commands.ts';
import { WHOLE_RUN } from '../journal/events.ts';
import { endDone, endFailed, takeBufferedSignal, type Spoken } from './forward.ts';
import { recordError } from '../journal/recorded-error.ts';
import { refuse } from './too-late.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import { signalId, textOf, type CallState } from '../journal/state.ts';
import type { RunMessage, RunMessageBody } from '../store/store.ts';
import { canCompensate } from '../journal/promises.ts';
import { knownAsDone } from '../journal/compensation.ts';

type Body<Kind extends RunMessageBody['kind']> = Extract<RunMessageBody, { kind: Kind }>;

/** Returns whether the code was told something. */
export async function takeRunMessage(run: Run, runMessage: RunMessage, context: DecisionContext): Promise<boolean> {
  const { body } = runMessage;
  switch (body.kind) {
    case 'cancel':
      takeCancel(run, runMessage, body, context);
      return false;
    case 'reply': {
      // Read before anything is recorded: a schema may be asynchronous.
      const answer = answerOf(run, body);
      const isDone = answer?.to === 'command' && answer.outcome === 'done';
      const reply = isDone ? await readReply(run, answer) : null;
      run.takeIn(runMessage);
      if (answer === null) return false;
      return answer.to === 'command'
        ? takeReply(run, answer, reply, context)
        : takeCompensationReply(run, answer, context);
    }
    case 'child':
      run.takeIn(runMessage);
      return takeChild(run, body, context);
    case 'signal':
      run.takeIn(runMessage);
      takeSignal(run, body, context);
      return false;
    case 'undo':
      takeRevocationByParent(run, runMessage, context);
      return false;
    case 'release':
      run.takeIn(runMessage);
      if (run.state.held) {
        run.recordEnd('completed', run.state.result, context.now);
        releaseChildren(run);
      }
      return false;
    case 'retry': {
      // Messages are made ready before anything is recorded.
      const made = await reissueCalls(run, context);
      run.takeIn(runMessage);
      takeAct(run, body, context, made);
      return false;
    }
    case 'skip':
    case 'resolve':
      run.takeIn(runMessage);
      takeAct(run, body, context);
      return false;
  }
}

function takeSignal(run: Run, body: Body<'signal'>, context: DecisionContext): void {
  if (run.state.phase !== 'forward') {
    return refuse(run, { what: 'signal', name: body.name }, context);
  }
  if (body.id !== undefined && run.state.signalIds?.has(signalId(body.name, body.id)) === true) return;
  const { name, payload, id } = body;
  run.record(
    { t: 'signal', name, ...(payload === undefined ? {} : { payload }), ...(id === undefined ? {} : { id }) },
    context.now,
  );
  takeBufferedSignal(run, name);
}

function takeCancel(run: Run, runMessage: RunMessage, body: Body<'cancel'>, context: DecisionContext): void {
  const { reason, actor } = body;
  // It is being compensated, or is compensated: that is what was wanted.
  if (run.state.phase === 'compensating' || run.state.phase === 'compensated') return run.takeIn(runMessage);
  // Behind the end or the pivot it comes too late; what is done and waits for its parent is compensated with that one. While nobody knows
  // whether the pivot has happened, nobody can say whether the run may be compensated: that is resolved first.
  if (run.state.phase === 'completed' || run.state.held || run.state.pivoted || isPivotAskedAfter(run)) {
    run.takeIn(runMessage);
    return refuse(run, cancelOf(body), context);
  }
  const error = {
    name: 'HoldfastError',
    code: 'HF_SAGA_UNDONE',
    message: reason === undefined ? 'Cancelled.' : `Cancelled: ${reason}`,
  };
  requestCompensation(run, { reason: 'cancelled', error, actor, runMessage }, context);
}

/** A parent takes its child back. */
function takeRevocationByParent(run: Run, runMessage: RunMessage, context: DecisionContext): void {
  const { state, parent } = run;
  if (state.phase === 'forward' && !state.pivoted) {
    const error = { name: 'HoldfastError', code: 'HF_SAGA_UNDONE', message: 'The parent is being compensated.' };
    requestCompensation(run, { reason: 'cancelled', error, actor: undefined, runMessage }, context);
    return;
  }
  run.takeIn(runMessage);
  if (parent === null || state.phase === 'compensating') return;
  const outcome = state.phase === 'compensated' ? ('compensated' as const) : ('refused' as const);
  run.post(parent.id, { kind: 'child', call: parent.call, outcome });
}

/** Of the call as it was made last, under its own name; null: to one that was made before, of which the answer has been taken. */
function answerOf(run: Run, body: Body<'reply'>): Body<'reply'> | null {
  const { id, round } = readWireCall(body.call);
  const call = run.state.calls.get(id);
  return call === undefined || call.round === round ? { ...body, call: id } : null;
}

type ReadReply =
  | { readonly kind: 'read'; readonly output: string | undefined }
  | { readonly kind: 'unreadable'; readonly error: ReturnType<typeof recordError> };

async function readReply(run: Run, body: Body<'reply'>): Promise<ReadReply> {
  const call = run.state.calls.get(body.call);
  const step = call === undefined ? undefined : run.step(call.step);
  if (step?.kind !== 'command' || step.reply === null) return { kind: 'read', output: undefined };
  try {
    const { output: data, outputText, outputVersion: version = step.reply.version } = body;
    const id = `to ${run.id}:${body.call}`;
    const value = await (outputText === undefined
      ? decodePayload(step.reply, { id, version, data })
      : decodePayloadText(step.reply, { id, version }, outputText));
    return {
      kind: 'read',
      output: encodeOutput(value, run.settings.maxBytes, `${run.saga.name}, reply to ${body.call}`),
    };
  } catch (error) {
    return { kind: 'unreadable', error: recordError(error) };
  }
}

async function takeReply(
  run: Run,
  body: Body<'reply'>,
  reply: ReadReply | null,
  context: DecisionContext,
): Promise<boolean> {
  const call = run.state.calls.get(body.call);
  if (call?.kind !== 'command') return false;
  if (call.outcome !== 'open') {
    await takeLateReply(run, call, body, reply, context);
    return false;
  }
  if (reply?.kind === 'read') return endDone(run, call, reply.output, context);
  // It is done, but nobody can read what came of it.
  if (reply !== null) return endFailed(run, call, { error: reply.error, doubt: true }, context);
  return endFailed(run, call, { error: replyError(body), doubt: false }, context);
}

/** The first answer counts; a later one is news only where the first was none. */
async function takeLateReply(
  run: Run,
  call: CallState,
  body: Body<'reply'>,
  reply: ReadReply | null,
  context: DecisionContext,
): Promise<void> {
  // What is compensated, or is being compensated, needs no word that it never happened.
  if (knownAsDone(call) || (body.outcome === 'rejected' && (!call.doubt || call.compensation !== null))) return;
  const output: unknown = reply?.kind === 'read' && reply.output !== undefined ? JSON.parse(reply.output) : undefined;
  run.record(
    { t: 'late reply', call: call.id, outcome: body.outcome, ...(output === undefined ? {} : { output }) },
    context.now,
  );
  // A run that has ended stays as it ended; what comes to light afterwards is compensated all the same.
  const { phase } = run.state;
  const step = run.step(call.step);
  if (body.outcome === 'rejected' || step === undefined || !canCompensate(step)) return;
  if (phase === 'compensated' || (phase === 'completed' && call.givenUp))
    await compensate(run, call, (call.compensation?.round ?? 0) + 1, context);
}

function takeCompensationReply(run: Run, body: Body<'reply'>, context: DecisionContext): boolean {
  const call = run.state.calls.get(body.call);
  if (call?.compensation?.state !== 'open') return false;
  if (body.outcome === 'done') {
    run.record({ t: 'compensated', call: call.id }, context.now);
    return false;
  }
  if (run.state.stuck !== null) return false;
  compensationFailed(run, call, { kind: 'failed', error: replyError(body), permanent: true, doubt: false }, context);
  return false;
}

function replyError(body: Body<'reply'>): ReturnType<typeof recordError> {
  return body.error ?? { name: 'Rejection', code: 'HF_REJECTED', message: 'rejected', details: { reason: 'rejected' } };
}

function takeChild(run: Run, body: Body<'child'>, context: DecisionContext): Spoken {
  const call = run.state.calls.get(body.call);
  if (call?.kind !== 'child') return false;
  if (call.compensation?.state === 'open') {
    if (body.outcome === 'compensated') run.record({ t: 'compensated', call: call.id }, context.now);
    if (body.outcome === 'refused' && run.state.stuck === null) {
      const message = `The child ${call.child ?? ''} has passed its pivot, or has ended, and cannot be compensated.`;
      const error = { name: 'HoldfastError', code: 'HF_SAGA_PIVOTED', message };
      compensationFailed(run, call, { kind: 'failed', error, permanent: true, doubt: false }, context);
    }
    return false;
  }
  if (call.outcome !== 'open') {
    // It was spared before it was done.
    if (body.outcome === 'done' && call.compensation !== null) letChildGo(run, call.id);
    return false;
  }
  if (body.outcome === 'done') return endDone(run, call, textOf(body.output), context);
  // A child that failed has compensated itself: nothing is left of it.
  const error = body.error ?? { name: 'HoldfastError', code: 'HF_SAGA_UNDONE', message: 'The child was compensated.' };
  return endFailed(run, call, { error, doubt: false }, context);
}

/** What a person decided about a stuck run. What no longer fits is recorded as refused. */
function takeAct(
  run: Run,
  body: Body<'retry'> | Body<'skip'> | Body<'resolve'>,
  context: DecisionContext,
  made: readonly ReissuedCall[] = [],
): void {
  const { stuck, phase } = run.state;
  const { actor } = body;
  const tooLate = (): void => {
    const reason = body.reason === undefined ? {} : { reason: body.reason };
    refuse(run, { what: body.kind, actor, ...reason }, context);
  };
  if (stuck === null) return tooLate();
  if (body.kind === 'retry') {
    const anew = made.length === 0 ? {} : { anew: made.map((each) => each.anew) };
    run.record(
      { t: 'retried', actor, ...(body.reason === undefined ? {} : { reason: body.reason }), ...anew },
      context.now,
    );
    for (const { send } of made) send();
    if (phase === 'forward') run.stale = true;
    else beginAgain(run, stuck.call);
    return;
  }
  if (body.call !== WHOLE_RUN && body.call !== stuck.call) return tooLate();
  const { call, reason } = body;
  // A run that was about to complete, and compensates what it had given up, is on its way forward.
  const compensating = phase === 'compensating' || run.state.calls.get(call)?.compensation?.state === 'open';
  if (body.kind === 'skip') {
    if (!compensating || call === WHOLE_RUN) return tooLate();
    run.record({ t: 'skipped', call, actor, reason }, context.now);
    letChildGo(run, call);
    run.stale = phase === 'forward';
    return;
  }
  // A run as a whole ends completed, while it goes forward, or as one that is compensated.
  if (call === WHOLE_RUN && body.as !== 'compensated' && (body.as !== 'done' || phase !== 'forward')) return tooLate();
  const output = body.output === undefined ? {} : { output: body.output };
  run.record({ t: 'resolved', call, as: body.as, ...output, actor, reason }, context.now);
  if (call === WHOLE_RUN) endByHand(run, body, context);
  else if (!compensating) settleByHand(run, body, context);
  else if (stuck.why === 'in doubt' && body.as !== 'compensated')
    run.record({ t: 'verified', call, outcome: body.as, ...output }, context.now);
  else {
    run.record({ t: 'compensated', call }, context.now);
    letChildGo(run, call);
    run.stale = phase === 'forward';
  }
}

/** A child that a person has spared is not compensated any more, and may end when it is done. */
function letChildGo(run: Run, callId: string): void {
  const child = run.state.calls.get(callId)?.child ?? null;
  if (child !== null) run.post(child, { kind: 'release' });
}

function beginAgain(run: Run, callId: string | null): void {
  const call = callId === null ? undefined : run.state.calls.get(callId);
  const step = call === undefined ? undefined : run.step(call.step);
  if (call?.compensation?.state !== 'open') return;
  if (step?.kind === 'step' || step?.kind === 'transaction') run.effects.push({ kind: 'compensate', call });
  // A command is sent again by its timer.
  else if (step?.kind === 'command') call.compensation.retryAt = 0;
  else if (call.child !== null) run.post(call.child, { kind: 'undo' });
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

/** After a message or an attempt: whatever can go on without the code being told anything. */
export async function afterwards(run: Run, context: DecisionContext): Promise<void> {
  grantIfPivotEnded(run, context);
  await continueCompensating(run, context);
}

/** A request to compensate that waited for a pivot which has meanwhile ended. */
function grantIfPivotEnded(run: Run, context: DecisionContext): void {
  if (run.pendingCompensation === null) return;
  for (const call of run.state.open) if (call.pivot) return;
  grantCompensation(run, context);
}

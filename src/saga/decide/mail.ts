/**
 * What comes to a run from outside, and what becomes of it. Each piece is taken in (deleted) by the commit that records what it led
 * to, or at once when it changes nothing: a duplicate, or one that comes too late. Used by the engine.
 */
import { decodePayload, decodePayloadText } from '../../message/decode.ts';
import { makeAnew, type MadeAnew } from './anew.ts';
import { readWireCall } from '../definition/call-id.ts';
import {
  cancelOf,
  compensate,
  compensationFailed,
  endUndone,
  goOnUndoing,
  isPivotAskedAfter,
  releaseChildren,
  requestUndo,
  wishGranted,
} from './backward.ts';
import { encodeOutput } from '../protocol/commands.ts';
import { WHOLE_RUN } from '../journal/events.ts';
import { endDone, endFailed, takeBufferedSignal, type Spoken } from './forward.ts';
import { recordError } from '../journal/recorded-error.ts';
import { refuse } from './too-late.ts';
import type { Scene } from '../run/facts.ts';
import type { Run } from '../run/run.ts';
import { signalId, textOf, type CallState } from '../journal/state.ts';
import type { Mail, MailBody } from '../store/store.ts';
import { canCompensate } from '../journal/promises.ts';
import { knownAsDone } from '../journal/undo.ts';

type Body<Kind extends MailBody['kind']> = Extract<MailBody, { kind: Kind }>;

/** Returns whether the code was told something. */
export async function takeMail(run: Run, mail: Mail, scene: Scene): Promise<boolean> {
  const { body } = mail;
  switch (body.kind) {
    case 'cancel':
      takeCancel(run, mail, body, scene);
      return false;
    case 'reply': {
      // Read before anything is recorded: a schema may be asynchronous.
      const answer = answerOf(run, body);
      const isDone = answer?.to === 'command' && answer.outcome === 'done';
      const reply = isDone ? await readReply(run, answer) : null;
      run.takeIn(mail);
      if (answer === null) return false;
      return answer.to === 'command' ? takeReply(run, answer, reply, scene) : takeCompensationReply(run, answer, scene);
    }
    case 'child':
      run.takeIn(mail);
      return takeChild(run, body, scene);
    case 'signal':
      run.takeIn(mail);
      takeSignal(run, body, scene);
      return false;
    case 'undo':
      takeUndo(run, mail, scene);
      return false;
    case 'release':
      run.takeIn(mail);
      if (run.state.held) {
        run.recordEnd('completed', run.state.result, scene.now);
        releaseChildren(run);
      }
      return false;
    case 'retry': {
      // Messages are made ready before anything is recorded.
      const made = await makeAnew(run, scene);
      run.takeIn(mail);
      takeAct(run, body, scene, made);
      return false;
    }
    case 'skip':
    case 'resolve':
      run.takeIn(mail);
      takeAct(run, body, scene);
      return false;
  }
}

function takeSignal(run: Run, body: Body<'signal'>, scene: Scene): void {
  if (run.state.phase !== 'forward') {
    return refuse(run, { what: 'signal', name: body.name }, scene);
  }
  if (body.id !== undefined && run.state.signalIds?.has(signalId(body.name, body.id)) === true) return;
  const { name, payload, id } = body;
  run.record(
    { t: 'signal', name, ...(payload === undefined ? {} : { payload }), ...(id === undefined ? {} : { id }) },
    scene.now,
  );
  takeBufferedSignal(run, name);
}

function takeCancel(run: Run, mail: Mail, body: Body<'cancel'>, scene: Scene): void {
  const { reason, actor } = body;
  // It is being undone, or is undone: that is what was wanted.
  if (run.state.phase === 'undoing' || run.state.phase === 'undone') return run.takeIn(mail);
  // Behind the end or the pivot it comes too late; what is done and waits for its parent is undone with that one. While nobody knows
  // whether the pivot has happened, nobody can say whether the run may be undone: that is resolved first.
  if (run.state.phase === 'completed' || run.state.held || run.state.pivoted || isPivotAskedAfter(run)) {
    run.takeIn(mail);
    return refuse(run, cancelOf(body), scene);
  }
  const error = {
    name: 'HoldfastError',
    code: 'HF_SAGA_UNDONE',
    message: reason === undefined ? 'Cancelled.' : `Cancelled: ${reason}`,
  };
  requestUndo(run, { reason: 'cancelled', error, actor, mail }, scene);
}

/** A parent takes its child back. */
function takeUndo(run: Run, mail: Mail, scene: Scene): void {
  const { state, parent } = run;
  if (state.phase === 'forward' && !state.pivoted) {
    const error = { name: 'HoldfastError', code: 'HF_SAGA_UNDONE', message: 'The parent is being undone.' };
    requestUndo(run, { reason: 'cancelled', error, actor: undefined, mail }, scene);
    return;
  }
  run.takeIn(mail);
  if (parent === null || state.phase === 'undoing') return;
  const outcome = state.phase === 'undone' ? ('compensated' as const) : ('refused' as const);
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

async function takeReply(run: Run, body: Body<'reply'>, reply: ReadReply | null, scene: Scene): Promise<boolean> {
  const call = run.state.calls.get(body.call);
  if (call?.kind !== 'command') return false;
  if (call.outcome !== 'open') {
    await takeLateReply(run, call, body, reply, scene);
    return false;
  }
  if (reply?.kind === 'read') return endDone(run, call, reply.output, scene);
  // It is done, but nobody can read what came of it.
  if (reply !== null) return endFailed(run, call, { error: reply.error, doubt: true }, scene);
  return endFailed(run, call, { error: replyError(body), doubt: false }, scene);
}

/** The first answer counts; a later one is news only where the first was none. */
async function takeLateReply(
  run: Run,
  call: CallState,
  body: Body<'reply'>,
  reply: ReadReply | null,
  scene: Scene,
): Promise<void> {
  // What is undone, or is being undone, needs no word that it never happened.
  if (knownAsDone(call) || (body.outcome === 'rejected' && (!call.doubt || call.undo !== null))) return;
  const output: unknown = reply?.kind === 'read' && reply.output !== undefined ? JSON.parse(reply.output) : undefined;
  run.record(
    { t: 'late reply', call: call.id, outcome: body.outcome, ...(output === undefined ? {} : { output }) },
    scene.now,
  );
  // A run that has ended stays as it ended; what comes to light afterwards is undone all the same.
  const { phase } = run.state;
  const step = run.step(call.step);
  if (body.outcome === 'rejected' || step === undefined || !canCompensate(step)) return;
  if (phase === 'undone' || (phase === 'completed' && call.givenUp))
    await compensate(run, call, (call.undo?.round ?? 0) + 1, scene);
}

function takeCompensationReply(run: Run, body: Body<'reply'>, scene: Scene): boolean {
  const call = run.state.calls.get(body.call);
  if (call?.undo?.state !== 'open') return false;
  if (body.outcome === 'done') {
    run.record({ t: 'compensated', call: call.id }, scene.now);
    return false;
  }
  if (run.state.stuck !== null) return false;
  compensationFailed(run, call, { kind: 'failed', error: replyError(body), permanent: true, doubt: false }, scene);
  return false;
}

function replyError(body: Body<'reply'>): ReturnType<typeof recordError> {
  return body.error ?? { name: 'Rejection', code: 'HF_REJECTED', message: 'rejected', details: { reason: 'rejected' } };
}

function takeChild(run: Run, body: Body<'child'>, scene: Scene): Spoken {
  const call = run.state.calls.get(body.call);
  if (call?.kind !== 'child') return false;
  if (call.undo?.state === 'open') {
    if (body.outcome === 'compensated') run.record({ t: 'compensated', call: call.id }, scene.now);
    if (body.outcome === 'refused' && run.state.stuck === null) {
      const message = `The child ${call.child ?? ''} has passed its pivot, or has ended, and cannot be undone.`;
      const error = { name: 'HoldfastError', code: 'HF_SAGA_PIVOTED', message };
      compensationFailed(run, call, { kind: 'failed', error, permanent: true, doubt: false }, scene);
    }
    return false;
  }
  if (call.outcome !== 'open') {
    // It was spared before it was done.
    if (body.outcome === 'done' && call.undo !== null) letChildGo(run, call.id);
    return false;
  }
  if (body.outcome === 'done') return endDone(run, call, textOf(body.output), scene);
  // A child that failed has undone itself: nothing is left of it.
  const error = body.error ?? { name: 'HoldfastError', code: 'HF_SAGA_UNDONE', message: 'The child was undone.' };
  return endFailed(run, call, { error, doubt: false }, scene);
}

/** What a person decided about a stuck run. What no longer fits is recorded as refused. */
function takeAct(
  run: Run,
  body: Body<'retry'> | Body<'skip'> | Body<'resolve'>,
  scene: Scene,
  made: readonly MadeAnew[] = [],
): void {
  const { stuck, phase } = run.state;
  const { actor } = body;
  const tooLate = (): void => {
    const reason = body.reason === undefined ? {} : { reason: body.reason };
    refuse(run, { what: body.kind, actor, ...reason }, scene);
  };
  if (stuck === null) return tooLate();
  if (body.kind === 'retry') {
    const anew = made.length === 0 ? {} : { anew: made.map((each) => each.anew) };
    run.record(
      { t: 'retried', actor, ...(body.reason === undefined ? {} : { reason: body.reason }), ...anew },
      scene.now,
    );
    for (const { send } of made) send();
    if (phase === 'forward') run.stale = true;
    else beginAgain(run, stuck.call);
    return;
  }
  if (body.call !== WHOLE_RUN && body.call !== stuck.call) return tooLate();
  const { call, reason } = body;
  // A run that was about to complete, and undoes what it had given up, is on its way forward.
  const undoing = phase === 'undoing' || run.state.calls.get(call)?.undo?.state === 'open';
  if (body.kind === 'skip') {
    if (!undoing || call === WHOLE_RUN) return tooLate();
    run.record({ t: 'skipped', call, actor, reason }, scene.now);
    letChildGo(run, call);
    run.stale = phase === 'forward';
    return;
  }
  // A run as a whole ends completed, while it goes forward, or as one that is undone.
  if (call === WHOLE_RUN && body.as !== 'compensated' && (body.as !== 'done' || phase !== 'forward')) return tooLate();
  const output = body.output === undefined ? {} : { output: body.output };
  run.record({ t: 'resolved', call, as: body.as, ...output, actor, reason }, scene.now);
  if (call === WHOLE_RUN) endByHand(run, body, scene);
  else if (!undoing) settleByHand(run, body, scene);
  else if (stuck.why === 'in doubt' && body.as !== 'compensated')
    run.record({ t: 'verified', call, outcome: body.as, ...output }, scene.now);
  else {
    run.record({ t: 'compensated', call }, scene.now);
    letChildGo(run, call);
    run.stale = phase === 'forward';
  }
}

/** A child that a person has spared is not undone any more, and may end when it is done. */
function letChildGo(run: Run, callId: string): void {
  const child = run.state.calls.get(callId)?.child ?? null;
  if (child !== null) run.post(child, { kind: 'release' });
}

function beginAgain(run: Run, callId: string | null): void {
  const call = callId === null ? undefined : run.state.calls.get(callId);
  const step = call === undefined ? undefined : run.step(call.step);
  if (call?.undo?.state !== 'open') return;
  if (step?.kind === 'step' || step?.kind === 'transaction') run.effects.push({ kind: 'compensate', call });
  // A command is sent again by its timer.
  else if (step?.kind === 'command') call.undo.retryAt = 0;
  else if (call.child !== null) run.post(call.child, { kind: 'undo' });
}

function endByHand(run: Run, body: Body<'resolve'>, scene: Scene): void {
  const output = body.output === undefined ? {} : { output: body.output };
  if (body.as === 'done' && run.state.phase === 'forward') {
    run.recordEnd('completed', textOf(body.output), scene.now);
    releaseChildren(run);
    if (run.parent !== null)
      run.post(run.parent.id, { kind: 'child', call: run.parent.call, outcome: 'done', ...output });
  } else {
    if (run.state.phase === 'forward') run.record({ t: 'undoing', reason: 'failed', actor: body.actor }, scene.now);
    endUndone(run, scene);
  }
}

/** A call in doubt is settled, and the code, which was never told, is loaded anew to be told. */
function settleByHand(run: Run, body: Body<'resolve'>, scene: Scene): void {
  const call = run.state.calls.get(body.call);
  run.stale = true;
  if (call?.outcome !== 'open') return;
  if (body.as === 'done') run.recordDone(call, textOf(body.output), scene.now);
  else {
    const error = { name: 'PermanentError', code: 'HF_PERMANENT', message: `Settled by ${body.actor}: ${body.reason}` };
    run.record({ t: 'failed', call: call.id, attempts: call.attempts, error, outcome: 'definite' }, scene.now);
  }
}

/** After mail or an attempt: whatever can go on without the code being told anything. */
export async function afterwards(run: Run, scene: Scene): Promise<void> {
  wishIfFree(run, scene);
  await goOnUndoing(run, scene);
}

/** A wish that waited for a pivot which has meanwhile ended. */
function wishIfFree(run: Run, scene: Scene): void {
  if (run.wish === null) return;
  for (const call of run.state.open) if (call.pivot) return;
  wishGranted(run, scene);
}

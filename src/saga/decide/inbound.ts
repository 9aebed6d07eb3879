/**
 * What comes to a run from outside, and what becomes of it. Each message is taken in (deleted) by the commit that records what it led
 * to, or at once when it changes nothing: a duplicate, or one that comes too late.
 */
import { signalId } from '../journal/state.ts';
import type { DecisionContext } from '../run/run-events.ts';
import { HandedReply } from '../run/handed-reply.ts';
import type { Run } from '../run/run.ts';
import type { RunMessage, RunMessageBody } from '../store/store.ts';
import { takeAct } from './acts.ts';
import { prepareAnswer, takeAnswer, type PreparedAnswer } from './answers.ts';
import { isReadAnswer, mayTakeHanded } from './handed.ts';
import { reissueCalls, type ReissuedCall } from './reissue.ts';
import { refuse } from './refusal.ts';
import { takeRevocation, takeRevocations } from './revocations.ts';
import { complete } from './run-end.ts';
import { assignSignal } from './signals.ts';

type Body<Kind extends RunMessageBody['kind']> = Extract<RunMessageBody, { kind: Kind }>;

/** What was made ready for a message before it is taken in: a schema may be asynchronous. */
export type PreparedForMessage =
  | { readonly kind: 'answer'; readonly answer: PreparedAnswer }
  | { readonly kind: 'reissued'; readonly calls: readonly ReissuedCall[] };

/** Undefined: nothing has to be made ready. */
export function prepareForMessage(
  run: Run,
  { body }: RunMessage,
  context: DecisionContext,
): Promise<PreparedForMessage> | undefined {
  switch (body.kind) {
    case 'reply':
    case 'child':
      return prepareAnswer(run, body)?.then((answer) => ({ kind: 'answer', answer }));
    case 'retry':
      return reissueCalls(run, context).then((calls) => ({ kind: 'reissued', calls }));
    default:
      return undefined;
  }
}

/** Returns whether the code was told something. */
export function takeRunMessage(
  run: Run,
  runMessage: RunMessage,
  ready: PreparedForMessage | null,
  context: DecisionContext,
): boolean {
  const { body } = runMessage;
  if (runMessage instanceof HandedReply && !takesHanded(run, runMessage, ready)) {
    runMessage.settle(false);
    return false;
  }
  switch (body.kind) {
    case 'cancel':
    case 'undo':
      takeRevocation(run, runMessage, context);
      return false;
    default:
      run.takeIn(runMessage);
  }
  switch (body.kind) {
    case 'reply':
    case 'child':
      return takeAnswer(run, body, ready?.kind === 'answer' ? ready.answer : null, context);
    case 'signal':
      takeSignal(run, body, context);
      return false;
    case 'release':
      // Whoever was told that it is cancelled is answered before it ends.
      if (run.state.held) takeRevocations(run, context);
      if (run.state.held) complete(run, run.state.result, context);
      return false;
    case 'retry':
    case 'skip':
    case 'resolve':
      takeAct(run, body, ready?.kind === 'reissued' ? ready.calls : [], context);
      return false;
  }
}

/** Much may have happened since it was handed in, and it is read only now. */
function takesHanded(run: Run, reply: HandedReply, ready: PreparedForMessage | null): boolean {
  return !reply.isSettled && mayTakeHanded(run, reply) && (ready?.kind !== 'answer' || isReadAnswer(ready.answer));
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
  assignSignal(run, name);
}

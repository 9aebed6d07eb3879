/** What others say of calls: participants by replies, children by messages of their own; in time, or after the call was given up. */
import { readWireCall } from '../definition/call-id.ts';
import { canCompensate } from '../definition/steps.ts';
import { valueOf, type CallState } from '../journal/state.ts';
import type { CallAnswer, AnswerBody, ReadAnswer } from '../kinds/kind.ts';
import { kindOf } from '../kinds/table.ts';
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import type { RunMessageBody } from '../store/store.ts';
import { compensationFailed } from './compensation-outcome.ts';
import { endDone, endFailed } from './outcomes.ts';
import { releaseChild } from './run-end.ts';

export type PreparedAnswer = ReadAnswer | null;

/** The call that is answered, as it was made last; undefined: one that was made before, whose answer has been taken, or none. */
function answeredCall(run: Run, body: AnswerBody): { readonly call: CallState; readonly body: AnswerBody } | undefined {
  const { id, round } = body.kind === 'reply' ? readWireCall(body.call) : { id: body.call, round: null };
  const call = run.state.calls.get(id);
  if (call === undefined || (round !== null && call.round !== round)) return undefined;
  return { call, body: { ...body, call: id } };
}

/** Whether it is the first answer to a command, and not to what compensates one. */
export function answersOpenCall(run: Run, body: RunMessageBody): boolean {
  if (body.kind !== 'reply' || body.to !== 'command') return false;
  return answeredCall(run, body)?.call.outcome === 'open';
}

/** Reads what the answer holds; undefined: there is nothing to be read. */
export function prepareAnswer(run: Run, body: AnswerBody): Promise<PreparedAnswer> | undefined {
  const answered = answeredCall(run, body);
  if (answered === undefined) return undefined;
  const step = run.step(answered.call.step);
  const own = step?.kind === answered.call.kind ? step : undefined;
  return kindOf(answered.call).readAnswer?.(run, own, answered.body);
}

/** Returns whether the code was told something. */
export function takeAnswer(run: Run, body: AnswerBody, read: PreparedAnswer, context: DecisionContext): boolean {
  const answered = answeredCall(run, body);
  if (answered === undefined) return false;
  const { call } = answered;
  const answer = kindOf(call).answer?.(call, answered.body, read) ?? null;
  switch (answer?.kind) {
    case 'done':
      return endDone(run, call, answer.output, context);
    case 'failed':
      return endFailed(run, call, answer, context);
    case 'late':
      takeLate(run, call, answer, context);
      return false;
    case 'compensated':
      run.record({ t: 'compensated', call: call.id }, context.now);
      return false;
    case 'not compensated':
      if (run.state.stuck === null)
        compensationFailed(run, call, { kind: 'failed', error: answer.error, permanent: true, doubt: false }, context);
      return false;
    case 'spared':
      releaseChild(run, call);
      return false;
    case undefined:
      return false;
  }
}

function takeLate(
  run: Run,
  call: CallState,
  answer: Extract<CallAnswer, { kind: 'late' }>,
  context: DecisionContext,
): void {
  const output = valueOf(answer.output);
  const { outcome } = answer;
  run.record({ t: 'late reply', call: call.id, outcome, ...(output === undefined ? {} : { output }) }, context.now);
  // A run that has ended stays as it ended; what comes to light afterwards is compensated all the same (afterwards.ts).
  const { phase } = run.state;
  const step = run.step(call.step);
  if (outcome === 'rejected' || step?.kind !== call.kind || !canCompensate(step)) return;
  call.lateSuccess = phase === 'compensated' || (phase === 'completed' && call.givenUp);
}

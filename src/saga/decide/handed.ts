/**
 * Which replies a run may take in memory, without a row in the store and without a mark of their message. Pure.
 *
 * Only the first answer to an open call of a run that goes forward, and only if it can be read. The same one coming again then changes
 * nothing, whatever has happened since: the call is known to be done, or to have been refused, and what is made anew after that has another
 * round. That is not so of all replies. One to a compensation says nothing of which round it answers, and might end a later one; what
 * cannot be read is recorded as in doubt, and would be news when it came again. These go by the store, which marks them.
 */
import type { HandedReply } from '../run/handed-reply.ts';
import type { Run } from '../run/run.ts';
import { answersOpenCall, type PreparedAnswer } from './answers.ts';
import { nextDue } from './due.ts';

export function mayTakeHanded(run: Run, { body, at }: HandedReply): boolean {
  const { phase, stuck, held } = run.state;
  if (phase !== 'forward' || stuck !== null || held || run.pendingCompensation !== null) return false;
  // What came before a timer was due is told before it, and only a look at the store tells what has come.
  return answersOpenCall(run, body) && nextDue(run) >= at;
}

/** Whether what was made ready of it may be recorded. */
export function isReadAnswer(answer: PreparedAnswer): boolean {
  return answer === null || answer.kind === 'read';
}

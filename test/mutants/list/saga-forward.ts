/**
 * Mistakes in how a run of a saga takes in what comes to it: replies, signals, timers, news of children.
 */
import type { Mutant } from '../mutant.ts';

const ANSWERS = 'src/saga/decide/answers.ts';
const DUE = 'src/saga/decide/due.ts';
const RESEND = 'src/saga/decide/resend.ts';
const RUN_END = 'src/saga/decide/run-end.ts';
const REISSUE = 'src/saga/decide/reissue.ts';
const INBOUND = 'src/saga/decide/inbound.ts';
const HANDED = 'src/saga/decide/handed.ts';
const SIGNALS = 'src/saga/decide/signals.ts';
const REVOKE = 'src/saga/decide/revocations.ts';
const BACK = 'test/saga/way-back.test.ts';
const RULES = 'test/saga/handed-rules.test.ts';

export const SAGA_FORWARD: readonly Mutant[] = [
  {
    name: 'saga/forward/timer-before-what-came',
    file: DUE,
    from: 'const now = Math.min(context.now, run.openRow(context.now), run.messagesKnownAt);',
    to: 'const now = Math.min(context.now, run.openRow(context.now));',
    breaks: 'I12: a timer is told before a reply that came before it was due',
    tests: [BACK],
  },
  {
    name: 'saga/forward/timer-early',
    file: DUE,
    from: 'const now = Math.min(context.now, run.openRow(context.now), run.messagesKnownAt);',
    to: 'const now = Math.min(Math.max(context.now, run.openRow(context.now)) + 1, run.messagesKnownAt);',
    breaks: 'I12: a timer is told a little before it is due',
    tests: [BACK],
  },
  {
    name: 'saga/forward/child-late-is-definite',
    file: DUE,
    from: 'return endFailed(run, call, { error: due.error, doubt: true }, context);',
    to: 'return endFailed(run, call, { error: due.error, doubt: false }, context);',
    breaks: 'I8: a child that was not done in time is never compensated',
    tests: [BACK],
  },
  {
    name: 'saga/forward/unanswered-is-definite',
    file: RESEND,
    from: 'permanent: false, doubt: true, ...why };',
    to: 'permanent: false, doubt: false, ...why };',
    breaks: 'I8: a command that nobody answered is never compensated',
    tests: [BACK],
  },
  {
    name: 'saga/forward/answer-to-another-round',
    file: ANSWERS,
    from: 'if (call === undefined || (round !== null && call.round !== round)) return undefined;',
    to: 'if (call === undefined) return undefined;',
    breaks: 'I10: an answer to an earlier round ends the call that was made anew',
    tests: [BACK],
  },
  {
    name: 'saga/forward/late-success-of-what-is-counted-on',
    file: ANSWERS,
    from: `(phase === 'completed' && call.givenUp);`,
    to: `phase === 'completed' && call.doubt;`,
    breaks: 'I8: what was given up and came to light after the end is not compensated',
    tests: [BACK],
  },
  {
    name: 'saga/forward/late-success-after-compensated',
    file: ANSWERS,
    from: `call.lateSuccess = phase === 'compensated' || `,
    to: `call.lateSuccess = phase === 'compensating' || `,
    breaks: 'I8: a command that came after the run had been compensated stays done',
    tests: [BACK],
  },
  {
    name: 'saga/forward/new-name-for-what-may-be-done',
    file: REISSUE,
    from: 'const round = mayHaveHappened(call) ? call.round : call.round + 1;',
    to: 'const round = call.round + 1;',
    breaks: 'I10: a participant does a second time what it may have done',
    tests: [BACK],
  },
  {
    name: 'saga/forward/old-name-for-what-was-refused',
    file: REISSUE,
    from: 'const round = mayHaveHappened(call) ? call.round : call.round + 1;',
    to: 'const round = call.round;',
    breaks: 'I10: a call that is made anew gets the refusal that is on record',
    tests: [BACK],
  },
  {
    name: 'saga/forward/signal-twice',
    file: INBOUND,
    from: 'run.state.signalIds?.has(signalId(body.name, body.id)) === true) return;',
    to: 'run.state.signalIds?.has(body.id) === true) return;',
    breaks: 'I12: a signal that was sent twice is taken twice',
    tests: [BACK],
  },
  {
    name: 'saga/forward/signal-to-the-latest-wait',
    file: SIGNALS,
    from: `if (run.runEvents.some((each) => each.kind === 'signalled' && each.call === call)) continue;`,
    to: `if (run.runEvents.some((each) => each.kind === 'signalled' && each.call === call)) return;`,
    breaks: 'I12: the second wait never gets its signal',
    tests: [BACK],
  },
  {
    name: 'saga/forward/release-not-heard',
    file: INBOUND,
    from: 'if (run.state.held) complete(run, run.state.result, context);',
    to: 'if (!run.state.held) complete(run, run.state.result, context);',
    breaks: 'I6: a child that was done stays held for ever',
    tests: [BACK],
  },
  {
    name: 'saga/forward/children-not-released',
    file: RUN_END,
    from: `if (call.child !== null && call.outcome === 'done') run.post(`,
    to: `if (call.child !== null && call.outcome === 'failed') run.post(`,
    breaks: 'I6: children of a run that completed stay held for ever',
    tests: [BACK],
  },
  {
    name: 'saga/forward/parent-not-told',
    file: RUN_END,
    from: 'if (run.parent === null) return;',
    to: `if (run.parent === null || run.state.reason === 'cancelled') return;`,
    breaks: 'I6: a parent waits for ever for the child that it has taken back',
    tests: [BACK],
  },
  {
    name: 'saga/forward/child-ends-unheld',
    file: RUN_END,
    from: 'if (run.parent !== null && !run.state.held) {',
    to: 'if (run.parent !== null && run.state.held) {',
    breaks: 'I6: a child ends before its parent has, and can be compensated no more',
    tests: [BACK],
  },
  {
    name: 'saga/forward/parent-told-otherwise',
    file: REVOKE,
    from: `state.phase === 'compensated' ? ('compensated' as const)`,
    to: `state.phase === 'completed' ? ('compensated' as const)`,
    breaks: 'I6: a parent believes compensated what is not, or waits for ever',
    tests: [BACK],
  },
  {
    name: 'saga/handed/not-forward',
    file: HANDED,
    from: `if (phase !== 'forward' || stuck !== null || held || run.pendingCompensation !== null) return false;`,
    to: 'if (stuck !== null || held || run.pendingCompensation !== null) return false;',
    breaks: 'I4: a reply to a run on its way back is taken without a mark',
    tests: [RULES],
  },
  {
    name: 'saga/handed/stuck',
    file: HANDED,
    from: `if (phase !== 'forward' || stuck !== null || held || run.pendingCompensation !== null) return false;`,
    to: `if (phase !== 'forward' || held || run.pendingCompensation !== null) return false;`,
    breaks: 'I4: a reply to a run that is stuck is taken without a mark',
    tests: [RULES],
  },
  {
    name: 'saga/handed/before-a-timer',
    file: HANDED,
    from: 'return answersOpenCall(run, body) && nextDue(run) >= at;',
    to: 'return answersOpenCall(run, body);',
    breaks: 'I12: a reply is told before a timer that was due before it',
    tests: [RULES],
  },
  {
    name: 'saga/handed/unreadable',
    file: HANDED,
    from: `return answer === null || answer.kind === 'read';`,
    to: 'return answer !== null;',
    breaks: 'I4: a reply that cannot be read is taken without a mark',
    tests: [BACK],
  },
  {
    name: 'saga/handed/settled',
    file: INBOUND,
    from: 'return !reply.isSettled && mayTakeHanded(run, reply)',
    to: 'return mayTakeHanded(run, reply)',
    breaks: 'I4: a reply that went by the store meanwhile is taken as well',
    tests: [BACK],
  },
];

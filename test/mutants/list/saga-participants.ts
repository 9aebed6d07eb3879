/**
 * Mistakes in the side that answers commands: one effect and one answer for each call, and nothing after its compensation.
 */
import type { Mutant } from '../mutant.ts';

const ROOM = 'src/saga/participant';
const DECIDE = `${ROOM}/participant-decide.ts`;
const ANSWER = `${ROOM}/answer-message.ts`;
const RECORD = `${ROOM}/on-record.ts`;
const CALLS = `${ROOM}/call-recording.ts`;
const STORE = `${ROOM}/participant-store.ts`;
const SQL = 'migrations/0009_participant_calls.sql';
const DECIDED = 'test/saga/participant-decide.test.ts';
const ANSWERED = 'test/saga/participant.test.ts';
const FORGED = 'test/saga/participant-forged.test.ts';
const BATCHED = 'test/saga/participant-batch.test.ts';
const KEPT = 'test/saga/participant-options.test.ts';

export const SAGA_PARTICIPANTS: readonly Mutant[] = [
  {
    name: 'participant/decide/done-after-its-compensation',
    file: DECIDE,
    from: "    case 'tombstone':\n    case 'compensated':\n      return refusal(",
    to: "    case 'tombstone':\n      return refusal(",
    breaks: 'I8: a command that was compensated is answered as done',
    tests: [DECIDED],
  },
  {
    name: 'participant/decide/tombstone-of-what-was-done',
    file: DECIDE,
    from: "outcome === 'done' ? 'compensate without record' : 'write tombstone'",
    to: "'write tombstone'",
    breaks: 'I8: what was done and has no record any more counts as compensated',
    tests: [DECIDED],
  },
  {
    name: 'participant/decide/compensated-twice',
    file: DECIDE,
    from: "if (row.state !== 'done') return { do: 'answer', answer: DONE };",
    to: "if (row.state === 'rejected') return { do: 'answer', answer: DONE };",
    breaks: 'I4: a compensation that comes again refunds again',
    tests: [DECIDED],
  },
  {
    name: 'participant/decide/as-the-saga-says',
    file: DECIDE,
    from: "if (row.state !== 'done') return { do: 'answer', answer: DONE };",
    to: "if (row.state !== 'done' || outcome === 'unknown') return { do: 'answer', answer: DONE };",
    breaks: 'I8: a command in doubt that was done is not compensated',
    tests: [DECIDED],
  },
  {
    name: 'participant/decide/by-any-compensation',
    file: DECIDE,
    from: 'row.command.topic !== compensates)',
    to: 'row.command.version < 0)',
    breaks: 'a call is compensated by what compensates another command',
    tests: [DECIDED],
  },
  {
    name: 'participant/decide/answer-of-another-command',
    file: DECIDE,
    from: 'if (row.command !== null && row.command.topic !== topic) return refusal(otherCommand(topic, row.command.topic));\n',
    to: '',
    breaks: 'a command is answered with what another one did',
    tests: [DECIDED],
  },
  {
    name: 'participant/record/any-value',
    file: RECORD,
    from: '!(byName.get(name) ?? anywhere).has(leaf)',
    to: '!anywhere.has(leaf)',
    breaks: 'a forged compensation refunds a count as an amount',
    tests: [FORGED],
  },
  {
    name: 'participant/record/texts-are-numbers',
    file: RECORD,
    from: "return typeof value === 'string' ? JSON.stringify(value) : String(value);",
    to: 'return String(value);',
    breaks: 'a forged compensation passes a text for a number',
    tests: [FORGED],
  },
  {
    name: 'participant/record/lists-not-looked-into',
    file: RECORD,
    from: 'if (Array.isArray(value)) for (const each of value) open.push([name, each]);',
    to: 'if (Array.isArray(value)) continue;',
    breaks: 'a forged compensation says what it likes within a list',
    tests: [FORGED],
  },
  {
    name: 'participant/answer/any-reply-topic',
    file: ANSWER,
    from: 'if (!participant.replyTopics.includes(saga.replyTo))',
    to: 'if (participant.replyTopics.length === 0)',
    breaks: 'a message has a reply written to whatever topic it names',
    tests: [FORGED],
  },
  {
    name: 'participant/answer/unrecorded-at-its-word',
    file: ANSWER,
    from: "return handler.withoutRecord === 'compensate' ? null : noRecord(handler.topic);",
    to: 'return null;',
    breaks: 'a forged compensation without a record is carried out',
    tests: [FORGED],
  },
  {
    name: 'participant/answer/by-hand-at-its-word',
    file: ANSWER,
    from: "if (handler.compensates !== null && handler.withoutRecord === 'refuse') throw forGood(noRecord(handler.topic));",
    to: '',
    breaks: 'a compensation that no saga sent is carried out',
    tests: [FORGED],
  },
  {
    name: 'participant/answer/compensation-as-command',
    file: ANSWER,
    from: "return (role === 'compensation') === (handler.compensates !== null);",
    to: "return role === 'command' || handler.compensates !== null;",
    breaks: 'what compensates is run although nobody has done anything',
    tests: [FORGED],
  },
  {
    name: 'participant/answer/refusal-not-recorded',
    file: ANSWER,
    from: "return { answer, outcome: 'rejected', change: { state: 'rejected', answer } };",
    to: "return unchanged(answer, 'rejected');",
    breaks: 'a command that was refused stands on record as done, and is compensated',
    tests: [ANSWERED],
  },
  {
    name: 'participant/answer/refused-compensation-is-done',
    file: ANSWER,
    from: "return { answer, outcome: 'rejected', change: recorded ? null : { state: 'withdrawn' } };",
    to: "return { answer, outcome: 'rejected', change: { state: 'compensated' } };",
    breaks: 'I8: a compensation that was refused does nothing when it is tried again',
    tests: [ANSWERED],
  },
  {
    name: 'participant/answer/compensation-not-recorded',
    file: ANSWER,
    from: "outcome: 'compensated', change: recorded ? { state: 'compensated' } : null };",
    to: "outcome: 'compensated', change: null };",
    breaks: 'I4: a compensation that comes again refunds again',
    tests: [ANSWERED],
  },
  {
    name: 'participant/answer/refusal-keeps-its-writes',
    file: ANSWER,
    from: 'throw new EffectRefused(error);',
    to: 'return undefined;',
    breaks: 'a command that was refused has its effect',
    tests: [ANSWERED],
  },
  {
    name: 'participant/answer/one-key-for-both',
    file: ANSWER,
    from: "${saga.role === 'compensation' ? ':undo' : ''}",
    to: '',
    breaks: 'the bank takes a refund for the charge of the same key',
    tests: [ANSWERED],
  },
  {
    name: 'participant/calls/tombstone-not-written',
    file: CALLS,
    from: "withoutRow: saga.outcome === 'done' ? taken : 'tombstone' };",
    to: 'withoutRow: taken };',
    breaks: 'I8: a command that comes after its compensation is carried out',
    tests: [ANSWERED],
  },
  {
    name: 'participant/calls/tombstone-of-what-was-done',
    file: CALLS,
    from: "withoutRow: saga.outcome === 'done' ? taken : 'tombstone' };",
    to: "withoutRow: 'tombstone' };",
    breaks: 'I8: what was done and has no record is not compensated the second time either',
    tests: [FORGED],
  },
  {
    name: 'participant/calls/not-apart',
    file: CALLS,
    from: 'return callKey(headers);',
    to: 'return null;',
    breaks: 'a command and its compensation are handled in one transaction, which finds neither',
    tests: [BATCHED],
  },
  {
    name: 'participant/calls/record-of-what-failed',
    file: CALLS,
    from: "if (saga === null || entered.finding !== 'new' || entered.state === null) return null;",
    to: 'return null;',
    breaks: 'I1: a command that failed in a batch stands on record as done',
    tests: [BATCHED],
  },
  {
    name: 'participant/store/effects-pruned-with-refusals',
    file: STORE,
    from: `effect: "state IN ('done', 'compensated')",\n  'no effect': "state IN ('rejected', 'tombstone')",`,
    to: `effect: "state IN ('compensated')",\n  'no effect': "state IN ('rejected', 'tombstone', 'done')",`,
    breaks: 'what was done is forgotten as early as what was refused, and cannot be compensated',
    tests: [KEPT],
  },
  {
    name: 'participant/store/pruned-of-others',
    file: STORE,
    from: 'WHERE participant = $1::text AND ${PRUNED[kind]}',
    to: 'WHERE $1::text IS NOT NULL AND ${PRUNED[kind]}',
    breaks: 'one participant forgets what another one has done',
    tests: [KEPT],
  },
  {
    name: 'participant/sql/mark-not-looked-at',
    file: SQL,
    from: "    IF NOT FOUND THEN\n      finding := 'duplicate';",
    to: "    IF FOUND IS NULL THEN\n      finding := 'duplicate';",
    breaks: 'a message that comes twice is answered twice',
    tests: [ANSWERED],
  },
  {
    name: 'participant/sql/age-from-the-command',
    file: SQL,
    from: 'SET state = new_state, at = clock_timestamp()',
    to: 'SET state = new_state',
    breaks: 'I14: a compensation that comes again finds no record, and is refused',
    tests: [KEPT],
  },
  {
    name: 'participant/sql/gone-unnoticed',
    file: SQL,
    from: 'IF new_state IS NOT NULL AND NOT FOUND THEN',
    to: 'IF new_state IS NULL AND NOT FOUND THEN',
    breaks: 'I4: a handler that ends the transaction has its effect without a record',
    tests: ['test/saga/participant-exchanges.test.ts'],
  },
  {
    name: 'participant/sql/answer-not-kept',
    file: SQL,
    from: 'SET state = new_state, reply = answer',
    to: 'SET state = new_state',
    breaks: 'a command that comes again is answered with nothing',
    tests: [ANSWERED],
  },
];

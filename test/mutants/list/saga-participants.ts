/**
 * Mistakes in the side that answers commands: one effect and one answer for each call, and nothing after its compensation.
 */
import type { Mutant } from '../mutant.ts';

const ROOM = 'src/saga/participant';
const DECIDE = `${ROOM}/participant-decide.ts`;
const DECIDED = 'test/saga/participant-decide.test.ts';

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
];

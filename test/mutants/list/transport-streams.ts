/**
 * Mistakes in what the adapter of Redis Streams decides.
 */
import type { Mutant } from '../mutant.ts';

const LANES = 'src/transport/redis-streams/lanes.ts';
const CHUNKS = 'src/transport/redis-streams/batch.ts';
const ENTRY = 'src/transport/redis-streams/entry.ts';
const STATE = 'src/transport/redis-streams/queue-state.ts';
const UNSENT = 'src/transport/redis-streams/unsent-verdicts.ts';
const SLOTS = 'src/transport/redis-streams/slots.ts';
const STREAM_ERRORS = 'src/transport/redis-streams/answers.ts';
const lanes = ['test/transport/redis-streams/lanes.test.ts'];
const streams = ['test/transport/redis-streams/verdict-rules.test.ts'];

export const TRANSPORT_STREAMS: readonly Mutant[] = [
  {
    name: 'streams/lanes/two-of-a-key',
    file: LANES,
    from: `if (lane.state !== 'free' || lane.waiting.length > 1) return false;`,
    to: `if (lane.state === 'closed') return false;`,
    breaks: 'I3: two messages of a key are handed out at once',
    tests: lanes,
  },
  {
    name: 'streams/lanes/early',
    file: LANES,
    from: `const isOpen = lane.state === 'free' || (lane.state === 'closed' && lane.dueMs <= nowMs);`,
    to: `const isOpen = lane.state !== 'busy';`,
    breaks: 'I12: what is put off comes at once',
    tests: lanes,
  },
  {
    name: 'streams/lanes/without-a-word',
    file: LANES,
    from: `(which === 'at once' && first.beginning !== null)) continue;`,
    to: `(which === 'at once' && lane.state === 'busy')) continue;`,
    breaks: 'I17: a message that kills its consumers is not counted',
    tests: lanes,
  },
  {
    name: 'streams/lanes/handed-out-is-not-counted',
    file: LANES,
    from: `{ ...entry, count: entry.count + 1 }`,
    to: `{ ...entry }`,
    breaks: 'I17: a message that kills its consumers is not counted',
    tests: lanes,
  },
  {
    name: 'streams/lanes/waiting-is-counted',
    file: LANES,
    from: `} else if (isFirst && inherited) {`,
    to: `} else if (inherited) {`,
    breaks: 'I16: what had only waited is taken for what killed its consumer',
    tests: lanes,
  },
  {
    name: 'streams/lanes/lost-answer-is-a-death',
    file: LANES,
    from: `} else if (isFirst && inherited) {`,
    to: `} else if (isFirst) {`,
    breaks: 'I16: a connection that breaks counts as the death of a consumer',
    tests: lanes,
  },
  {
    name: 'streams/lanes/in-the-order-they-came',
    file: LANES,
    from: `.toSorted((a, b) => compareIds(a.id, b.id));`,
    to: `;`,
    breaks: 'I3: what was put off is overtaken by what came after it',
    tests: lanes,
  },
  {
    name: 'streams/lanes/put-off-gave-back',
    file: LANES,
    from: `waiting.slice(state === 'busy' ? 1 : 0)`,
    to: `waiting.slice(0)`,
    breaks: 'I4: what is in hand is given back as well, and handled twice',
    tests: lanes,
  },
  {
    name: 'streams/entries/ids-as-texts',
    file: ENTRY,
    from: `return Number(ms) - Number(otherMs) || Number(n) - Number(otherN);`,
    to: `return one < other ? -1 : one > other ? 1 : Number(ms) - Number(otherMs) + Number(n) - Number(otherN);`,
    breaks: 'I3: the tenth message of a millisecond comes before the second',
    tests: lanes,
  },
  {
    name: 'streams/entries/key-beside-none',
    file: ENTRY,
    from: `key === null ? '' : \`=\${key}\``,
    to: `key ?? ''`,
    breaks: 'I3: messages with an empty key have none',
    tests: streams,
  },
  {
    name: 'streams/batch/endless-chunk',
    file: CHUNKS,
    from: `if (end > from && characters > CHUNK_CHARACTERS) break;`,
    to: `if (characters > CHUNK_CHARACTERS * 100) break;`,
    breaks: 'I18: Redis answers nobody while it takes a batch of large messages',
    tests: lanes,
  },
  {
    name: 'streams/batch/partition-of-another',
    file: CHUNKS,
    from: 'const name = `${destination}#${partition}`;',
    to: 'const name = `${partition}`;',
    breaks: 'I1: messages go to the destination of others',
    tests: lanes,
  },
  {
    name: 'streams/verdicts/unknown-is-told',
    file: UNSENT,
    from: `    this.#done = [...done, ...this.#done];
`,
    to: `    void done;
`,
    breaks: 'I4: what was done is handed out again, for its verdict was lost with the connection',
    tests: streams,
  },
  {
    name: 'streams/verdicts/newest-first',
    file: UNSENT,
    from: `[...later, ...this.#later]`,
    to: `[...this.#later, ...later]`,
    breaks: 'verdicts of before wait behind those of now',
    tests: streams,
  },
  {
    name: 'streams/verdicts/in-one',
    file: UNSENT,
    from: `this.#done.splice(0, MOST_AT_ONCE)`,
    to: `this.#done.splice(0)`,
    breaks: 'I18: Redis refuses a script with too many arguments, over and over',
    tests: streams,
  },
  {
    name: 'streams/verdicts/put-off-is-nothing',
    file: UNSENT,
    from: `return this.#done.length === 0 && this.#later.length === 0;`,
    to: `return this.#done.length === 0;`,
    breaks: 'I13: what was put off is told of only with something else',
    tests: streams,
  },
  {
    name: 'streams/slots/given-back-unheard',
    file: SLOTS,
    from: `    for (const wake of waiting) wake();
`,
    to: '',
    breaks: 'I17: a partition that found no slot reads no more',
    tests: streams,
  },
  {
    name: 'streams/slots/none-free',
    file: SLOTS,
    from: ' || this.free === 0',
    to: '',
    breaks: 'partitions are woken for nothing, over and over',
    tests: streams,
  },
  {
    name: 'streams/state/delayed-wait-twice',
    file: STATE,
    from: `Math.max(0, length - pending - delayed));`,
    to: `Math.max(0, length - pending));`,
    breaks: 'what is put off is told of as a backlog',
    tests: streams,
  },
  {
    name: 'streams/state/owners-of-long-ago',
    file: STATE,
    from: `&& nowMs - Number(seenAt) < FRESH_MS)`,
    to: `&& seenAt !== '')`,
    breaks: 'a database that has moved on is told of for ever',
    tests: streams,
  },
  {
    name: 'streams/state/unread-unsaid',
    file: STATE,
    from: `if (readers === 0 && waiting + delayed > 0)`,
    to: `if (readers === 0 && delayed > 0)`,
    breaks: 'I17: a destination that nobody reads stands still in silence',
    tests: streams,
  },
  {
    name: 'streams/answers/full-is-for-good',
    file: STREAM_ERRORS,
    from: `exceeds maximum allowed size|invalid bulk length/i`,
    to: `exceeds maximum allowed size|invalid bulk length|maxmemory/i`,
    breaks: 'I16: messages are parked because Redis is full',
    tests: streams,
  },
  {
    name: 'streams/answers/forbidden-inside',
    file: STREAM_ERRORS,
    from: `|| isForbidden(error.cause);`,
    to: `;`,
    breaks: 'what a role may not do is told of as an outage',
    tests: streams,
  },
];

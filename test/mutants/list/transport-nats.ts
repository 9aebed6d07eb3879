/**
 * Mistakes in what the adapter of NATS decides: what an answer means, whose a message is, which streams and consumers will do.
 */
import type { Mutant } from '../mutant.ts';

const ACK = 'src/transport/nats/ack.ts';
const CONSUMERS = 'src/transport/nats/consumers.ts';
const DELIVERIES = 'src/transport/nats/deliveries.ts';
const LAYOUT = 'src/transport/nats/layout.ts';
const NAMES = 'src/transport/nats/names.ts';
const OUTCOME = 'src/transport/nats/outcome.ts';
const STEP = 'src/transport/nats/out-of-step.ts';
const STATE = 'src/transport/nats/queue-state.ts';
const STREAMS = 'src/transport/nats/streams.ts';
const tests = ['test/transport/nats/decisions.test.ts'];
const step = ['test/transport/nats/step-rules.test.ts'];
const state = ['test/transport/nats/queue-rules.test.ts'];

export const TRANSPORT_NATS: readonly Mutant[] = [
  {
    name: 'nats/answer/stored-without-a-number',
    file: OUTCOME,
    from: `return typeof seq === 'number' ? STORED : `,
    to: `return typeof seq !== 'string' ? STORED : `,
    breaks: 'I1: what was not stored counts as published',
    tests,
  },
  {
    name: 'nats/answer/of-another-stream',
    file: OUTCOME,
    from: `if (answer.stream !== stream)`,
    to: `if (typeof answer.stream !== 'string')`,
    breaks: 'I1: a message that went into the stream of somebody else counts as published',
    tests,
  },
  {
    name: 'nats/answer/on-its-way-is-there',
    file: OUTCOME,
    from: `if (duplicate === true && seq === 0)`,
    to: `if (duplicate === true && seq === -1)`,
    breaks: 'I1: a message that a server has seen and may still lose counts as published',
    tests,
  },
  {
    name: 'nats/answer/full-is-for-good',
    file: OUTCOME,
    from: `kind: REFUSED.has(error.err_code) ? 'refused' : 'failed', why };`,
    to: `kind: error.err_code !== CODES.streamNotFound ? 'refused' : 'failed', why };`,
    breaks: 'I16: messages are parked because a stream is full',
    tests,
  },
  {
    name: 'nats/answer/elections-fail-the-batch',
    file: OUTCOME,
    from: `  if (status === 503) return NOBODY;
`,
    to: '',
    breaks: 'I16: each election of a leader is an outage',
    tests,
  },
  {
    name: 'nats/size/headers-not-counted',
    file: OUTCOME,
    from: `const most = Math.min(limits.maxMessageBytes, limits.maxPayload - header);`,
    to: `const most = Math.min(limits.maxMessageBytes, limits.maxPayload);`,
    breaks: 'I18: a message that the server does not take ends the connection, over and over',
    tests: state,
  },
  {
    name: 'nats/size/characters-for-bytes',
    file: OUTCOME,
    from: `if (message.wire.length * 3 <= most) return undefined;`,
    to: `if (message.wire.length <= most) return undefined;`,
    breaks: 'I18: a message that the server does not take ends the connection, over and over',
    tests: state,
  },
  {
    name: 'nats/ack/place-of-newer-servers',
    file: ACK,
    from: `const at = tokens.length === 9 ? 3 : 5;`,
    to: `const at = 3;`,
    breaks: 'I4: of newer servers every message is read wrongly',
    tests,
  },
  {
    name: 'nats/ack/earlier-than-asked',
    file: ACK,
    from: `const nanos = Math.ceil(`,
    to: `const nanos = Math.floor(`,
    breaks: 'I12: what is put off may come early',
    tests,
  },
  {
    name: 'nats/ack/put-off-is-a-death',
    file: ACK,
    from: `deliveries - 1 - Math.max(0, verdicts)`,
    to: `deliveries - 1`,
    breaks: 'I16: a message that is put off often is taken for one that kills its consumers',
    tests,
  },
  {
    name: 'nats/ack/deaths-undercounted',
    file: ACK,
    from: `Math.max(0, verdicts));`,
    to: `verdicts);`,
    breaks: 'I16: what was never put off has died once more',
    tests,
  },
  {
    name: 'nats/deliveries/first-one-answers',
    file: DELIVERIES,
    from: `    if (before !== undefined) lose(before, 'the server handed the message out again');
`,
    to: `    if (before !== undefined) return before;
`,
    breaks: 'I4: one that was handed out anew is never answered',
    tests,
  },
  {
    name: 'nats/deliveries/both-go-on',
    file: DELIVERIES,
    from: `    if (before !== undefined) lose(before, 'the server handed the message out again');
`,
    to: '',
    breaks: 'I4: a message that was handed out twice has two that may settle it',
    tests,
  },
  {
    name: 'nats/deliveries/claims-for-ever',
    file: DELIVERIES,
    from: `if (!delivery.isLost && delivery.claimedUntilMs < nowMs) lose(`,
    to: `if (!delivery.isLost && delivery.claimedUntilMs < 0) lose(`,
    breaks: 'I11: what the server has given to others is gone on with here',
    tests,
  },
  {
    name: 'nats/deliveries/removed-twice',
    file: DELIVERIES,
    from: `if (!this.letGo(delivery)) return;`,
    to: `this.letGo(delivery);`,
    breaks: 'I3: an ordered partition hands out two at once',
    tests,
  },
  {
    name: 'nats/deliveries/newer-one-forgotten',
    file: DELIVERIES,
    from: `if (this.#byMessage.get(id) === delivery) this.#byMessage.delete(id);`,
    to: `this.#byMessage.delete(id);`,
    breaks: 'I4: a third one does not end the second',
    tests: state,
  },
  {
    name: 'nats/consumer/removed-while-asked',
    file: CONSUMERS,
    from: `  if (now.num_waiting > 0) return false;
`,
    to: '',
    breaks: 'I3: the consumer of a receiver that is alive is removed',
    tests,
  },
  {
    name: 'nats/consumer/removed-within-its-claims',
    file: CONSUMERS,
    from: `elapsedMs <= claimMs || `,
    to: '',
    breaks: 'I4: what somebody has in hand is handed out to others',
    tests,
  },
  {
    name: 'nats/consumer/removed-while-it-acknowledges',
    file: CONSUMERS,
    from: `    before.ack_floor.consumer_seq === now.ack_floor.consumer_seq &&
`,
    to: '',
    breaks: 'I4: what somebody has in hand is handed out to others',
    tests,
  },
  {
    name: 'nats/consumer/many-at-once-in-order',
    file: CONSUMERS,
    from: `max_ack_pending: place === null ? settings.maxUnacknowledged : 1,`,
    to: `max_ack_pending: settings.maxUnacknowledged,`,
    breaks: 'I3: several of a partition are handed out at once',
    tests,
  },
  {
    name: 'nats/consumer/gives-up',
    file: CONSUMERS,
    from: `max_deliver: -1,`,
    to: `max_deliver: 20,`,
    breaks: 'I1: a message that came often is never handed out again',
    tests,
  },
  {
    name: 'nats/consumer/other-subjects-fit',
    file: CONSUMERS,
    from: `config.ack_policy !== wanted.ack_policy || config.filter_subject !== wanted.filter_subject)`,
    to: `config.ack_policy !== wanted.ack_policy)`,
    breaks: 'I21: messages of another partition are read as those of this one',
    tests,
  },
  {
    name: 'nats/consumer/backoff-fits',
    file: CONSUMERS,
    from: `return same && (config.backoff ?? []).length === 0 ? 'fits'`,
    to: `return same ? 'fits'`,
    breaks: 'I4: claims end before the receiver believes that they do',
    tests,
  },
  {
    name: 'nats/stream/drops-the-oldest',
    file: STREAMS,
    from: `if (limits && config.discard !== 'new')`,
    to: `if (limits && config.discard === undefined)`,
    breaks: 'I1: a full stream drops what nobody has handled',
    tests,
  },
  {
    name: 'nats/stream/drops-by-age',
    file: STREAMS,
    from: `  if ((config.max_age ?? 0) > 0) losses.push('it drops messages by their age (max_age)');
`,
    to: '',
    breaks: 'I1: what waits for long is dropped',
    tests: state,
  },
  {
    name: 'nats/stream/not-acknowledged',
    file: STREAMS,
    from: `  if (config.no_ack === true) unusable.push('it does not acknowledge what is published (no_ack)');
`,
    to: '',
    breaks: 'I17: a stream that never answers is published to',
    tests: state,
  },
  {
    name: 'nats/stream/subjects-of-a-part',
    file: STREAMS,
    from: `return own.endsWith('.>') && subject.startsWith(own.slice(0, -1));`,
    to: `return subject.startsWith(own.slice(0, -1));`,
    breaks: 'I17: a stream without our subjects is taken for ours, and nothing is stored',
    tests: state,
  },
  {
    name: 'nats/stream/version-by-text',
    file: STREAMS,
    from: `return index === -1 || (own[index] ?? 0) > (since[index] ?? 0);`,
    to: `return index === -1 || String(own[index]) > String(since[index]);`,
    breaks: 'I1: a server that drops the oldest when it is nearly full is trusted',
    tests,
  },
  {
    name: 'nats/layout/other-numbers-go-on',
    file: LAYOUT,
    from: `if (written?.partitions !== own) return 'look';`,
    to: `if (written === null) return 'look';`,
    breaks: 'I3: messages of a key are spread over two layouts',
    tests,
  },
  {
    name: 'nats/layout/forgotten',
    file: LAYOUT,
    from: `return ageMs > NOTES_LAST_MS / 2 || `,
    to: `return ageMs > NOTES_LAST_MS * 2 || `,
    breaks: 'I3: the layout in use is forgotten after two weeks',
    tests,
  },
  {
    name: 'nats/names/prefix-of-another',
    file: NAMES,
    from: `if (!stream.startsWith(\`\${prefix}-\`)) return null;`,
    to: `if (!stream.startsWith(prefix)) return null;`,
    breaks: 'streams of others are taken for destinations of ours',
    tests,
  },
  {
    name: 'nats/names/replay-is-a-duplicate',
    file: NAMES,
    from: `message.replayId === null ? message.id : \`\${message.id}.\${message.replayId}\``,
    to: `message.id`,
    breaks: 'I1: what is replayed is dropped by the broker as a duplicate',
    tests,
  },
  {
    name: 'nats/step/made-anew-over-late-acknowledgements',
    file: STEP,
    from: `return passedOver || (before.delivered === now.delivered && before.floor === now.floor);`,
    to: `return true;`,
    breaks: 'a consumer that is only busy is made anew, and what is in hand comes twice',
    tests: step,
  },
  {
    name: 'nats/step/at-the-first-look',
    file: STEP,
    from: `if (before === undefined || before.created !== now.created) return false;`,
    to: `if (before !== undefined && before.created !== now.created) return false;
  before ??= now;`,
    breaks: 'a consumer that is only busy is made anew, and what is in hand comes twice',
    tests: step,
  },
  {
    name: 'nats/step/passed-over-for-ever',
    file: STEP,
    from: `if (unacknowledged === 0) return first <= delivered;`,
    to: `if (unacknowledged === 0) return first < delivered;`,
    breaks: 'I1: the last message that was passed over is never handed out',
    tests: step,
  },
  {
    name: 'nats/step/waits-for-what-is-gone',
    file: STEP,
    from: `if (first === null) return unacknowledged > 0;`,
    to: `if (first === null) return false;`,
    breaks: 'I17: an ordered partition waits for a message that is gone, for good',
    tests: step,
  },
  {
    name: 'nats/state/in-hand-waits',
    file: STATE,
    from: `const waiting = messages - active;`,
    to: `const waiting = messages;`,
    breaks: 'messages in hand are told of as a backlog',
    tests: state,
  },
  {
    name: 'nats/state/unread-unsaid',
    file: STATE,
    from: `if (waiting > 0 && !isRead)`,
    to: `if (waiting > 0 && ours.length === 0)`,
    breaks: 'I17: a destination that nobody reads any more stands still in silence',
    tests: state,
  },
  {
    name: 'nats/state/two-databases-unsaid',
    file: STATE,
    from: `owners.filter((other) => other !== (owner ?? owners[0]));`,
    to: `owners.filter((other) => other !== (owner ?? other));`,
    breaks: 'I17: two databases take replies of each other, and nobody says so',
    tests: state,
  },
  {
    name: 'nats/state/foreign-in-hand-counted',
    file: STATE,
    from: `    ours.reduce((total, consumer) => total + count(consumer), 0);`,
    to: `    consumers.reduce((total, consumer) => total + count(consumer), 0);`,
    breaks: 'I17: a stranger that reads hides that we do not',
    tests: state,
  },
];

/**
 * Mistakes in what the adapters of RabbitMQ and Kafka decide.
 */
import type { Mutant } from '../mutant.ts';

const ACKS = 'src/transport/rabbitmq/acknowledgements.ts';
const ANSWERS = 'src/transport/rabbitmq/broker-answers.ts';
const FACTS = 'src/transport/rabbitmq/delivery-facts.ts';
const TOPOLOGY = 'src/transport/rabbitmq/topology.ts';
const RECORD = 'src/transport/kafka/record.ts';
const rabbitmq = ['test/transport/rabbitmq/rabbitmq-rules.test.ts'];
const rabbitmqBatch = ['test/transport/rabbitmq/batch-rules.test.ts'];
const kafka = ['test/transport/kafka/kafka-rules.test.ts'];

export const TRANSPORT_BROKERS: readonly Mutant[] = [
  {
    name: 'rabbitmq/acks/over-one-in-hand',
    file: ACKS,
    from: `      if (!done) break;
`,
    to: `      if (!done) continue;
`,
    breaks: 'I5: a message in hand is acknowledged with those behind it, and gone when the process dies',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/acks/all-up-to-one',
    file: ACKS,
    from: `      this.#send(tag, false);`,
    to: `      this.#send(tag, true);`,
    breaks: 'I5: a message in hand is acknowledged with one behind it, and gone when the process dies',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/acks/twice',
    file: ACKS,
    from: `      if (!done) continue;
      this.#open.delete(tag);
`,
    to: `      if (!done) continue;
`,
    breaks: 'I16: the broker closes the channel, and all that is in hand comes twice',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/acks/of-what-was-answered',
    file: ACKS,
    from: `    if (!this.#open.has(tag)) return;
`,
    to: '',
    breaks: 'I16: the broker closes the channel, and all that is in hand comes twice',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/facts/deaths-begin-anew',
    file: FACTS,
    from: `redeliveries: (count(headers?.[REDELIVERIES]) ?? 0) + returns,`,
    to: `redeliveries: returns,`,
    breaks: 'I17: a message that kills its consumers is handed out for ever, as long as it is put off in between',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/facts/uncounted-deaths',
    file: FACTS,
    from: `?? (redelivered ? 1 : 0)`,
    to: `?? 0`,
    breaks: 'I17: where the broker does not count, no message ever kills',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/facts/anything-counts',
    file: FACTS,
    from: `return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST ? value : undefined;`,
    to: `return typeof value === 'number' && value <= MOST ? value : undefined;`,
    breaks: 'I16: a header that somebody has written wrongly decides what becomes of a message',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/delay/early',
    file: TOPOLOGY,
    from: `DELAY_STEPS_MS.find((step) => step >= delayMs) ?? longest;`,
    to: `DELAY_STEPS_MS.findLast((step) => step <= delayMs) ?? DELAY_STEPS_MS[0];`,
    breaks: 'a message is held back in many steps where one will do',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/delay/rest-forgotten',
    file: TOPOLOGY,
    from: `return { stepMs, restMs: Math.max(0, delayMs - stepMs) };`,
    to: `return { stepMs, restMs: 0 };`,
    breaks: 'I12: what is put off for longer than an hour comes after an hour',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/queue/drops-its-oldest',
    file: TOPOLOGY,
    from: `{ 'x-queue-type': 'quorum', 'x-overflow': 'reject-publish' };`,
    to: `{ 'x-queue-type': 'quorum', 'x-overflow': 'drop-head' };`,
    breaks: 'I1: a full queue drops what nobody has handled',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/queue/delayed-at-most-once',
    file: TOPOLOGY,
    from: `      'x-dead-letter-strategy': 'at-least-once',
`,
    to: '',
    breaks: 'I1: what is on its way from a delay is lost with its node',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/queue/dropped-after-twenty',
    file: TOPOLOGY,
    from: `      'x-delivery-limit': UNREACHED_DELIVERIES,
`,
    to: '',
    breaks: 'I1: RabbitMQ 4 drops a message that came back twenty times',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/queue/read-by-several',
    file: TOPOLOGY,
    from: `...(ordered ? { 'x-single-active-consumer': true } : {}),`,
    to: `...(ordered ? { 'x-single-active-consumer': false } : {}),`,
    breaks: 'I3: two processes read one partition',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/queue/name-of-a-partition',
    file: TOPOLOGY,
    from: `!/[:#]/.test(destination)`,
    to: `!/[:]/.test(destination)`,
    breaks: 'a destination has the name of a partition of another one',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/answers/too-large-is-an-outage',
    file: ANSWERS,
    from: `  if (size !== null) return { kind: 'too large', limit: Number(size[1]) };
`,
    to: '',
    breaks: 'I17: one message that is too large stops the relay for good',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/answers/unanswered-is-a-difference',
    file: ANSWERS,
    from: `  if (code === 406 && message.includes('delivery acknowledgement')) return { kind: 'unanswered' };
`,
    to: '',
    breaks: 'I16: a handler that took long makes the queue unusable',
    tests: rabbitmq,
  },
  {
    name: 'rabbitmq/batch/limit-of-the-broker',
    file: 'src/transport/rabbitmq/batch.ts',
    from: `const most = Math.min(maxMessageBytes, limit);`,
    to: `const most = maxMessageBytes;`,
    breaks: 'I17: what the broker does not take is sent for ever',
    tests: rabbitmqBatch,
  },
  {
    name: 'rabbitmq/batch/replay-is-a-duplicate',
    file: 'src/transport/rabbitmq/batch.ts',
    from: `message.replayId === null ? message.id : \`\${message.id}.\${message.replayId}\``,
    to: `message.id`,
    breaks: 'tools take what is replayed for what was there',
    tests: rabbitmqBatch,
  },
  {
    name: 'rabbitmq/batch/unroutable-is-published',
    file: 'src/transport/rabbitmq/batch.ts',
    from: `    mandatory: true,
`,
    to: '',
    breaks: 'I1: what goes to a queue that is not there is dropped, and counts as published',
    tests: rabbitmqBatch,
  },
  {
    name: 'rabbitmq/batch/one-refused-moves-the-others',
    file: 'src/transport/rabbitmq/batch.ts',
    from: `placed.push({ index, destination, outgoing`,
    to: `placed.push({ index: placed.length, destination, outgoing`,
    breaks: 'I1: the outcome of one message is given to another',
    tests: rabbitmqBatch,
  },
  {
    name: 'kafka/record/attributes-of-the-payload',
    file: RECORD,
    from: `if (name === 'data' || name === 'datacontenttype') continue;`,
    to: `if (name === 'datacontenttype') continue;`,
    breaks: 'a payload that is a text or number is in a header as well',
    tests: kafka,
  },
  {
    name: 'kafka/record/header-for-attribute',
    file: RECORD,
    from: `headers[name in headers ? \`header_\${name}\` : name] = String(text);`,
    to: `headers[name] = String(text);`,
    breaks: 'a header of the sender takes the place of an attribute of the message',
    tests: kafka,
  },
  {
    name: 'kafka/record/digits',
    file: RECORD,
    from: `const value = memberText(wire, 'data');`,
    to: `const value = JSON.stringify(attributes['data']);`,
    breaks: 'digits of large numbers are lost',
    tests: kafka,
  },
  {
    name: 'kafka/chunks/over-the-limit',
    file: RECORD,
    from: `bytes + record.bytes > CHUNK_BYTES)`,
    to: `bytes > CHUNK_BYTES)`,
    breaks: 'I16: a broker refuses what each message of it would pass',
    tests: kafka,
  },
  {
    name: 'kafka/chunks/last-one-left',
    file: RECORD,
    from: `      yield chunk;
      chunk = [];
`,
    to: `      yield chunk.slice(0, -1);
      chunk = [];
`,
    breaks: 'I1: the last message of a chunk is not sent, and has no outcome',
    tests: kafka,
  },
  {
    name: 'kafka/fault/first-code-unseen',
    file: 'src/transport/kafka/kafka-error.ts',
    from: `each = originalError ?? cause;`,
    to: `each = cause;`,
    breaks: 'I17: a message that is too large stops the relay: its code is that of the error that kafkajs wraps',
    tests: kafka,
  },
  {
    name: 'kafka/fault/leader-is-a-topic',
    file: 'src/transport/kafka/kafka-error.ts',
    from: `new Set([3, 17, 29, 44]);`,
    to: `new Set([3, 6, 17, 29, 44]);`,
    breaks: 'I16: an election parks messages',
    tests: kafka,
  },
  {
    name: 'kafka/divided/whole-topic-for-good',
    file: 'src/transport/kafka/kafka-transport.ts',
    from: `if (fault === 'topic' || chunk.length === 1) return [chunk];`,
    to: `if (fault === 'topic' || chunk.length <= 2) return [chunk];`,
    breaks: 'I16: the neighbour of a message that cannot be stored is refused with it',
    tests: kafka,
  },
  {
    name: 'kafka/divided/topics-together',
    file: 'src/transport/kafka/kafka-transport.ts',
    from: `if (topics > 1) return`,
    to: `if (topics > 2) return`,
    breaks: 'I16: messages to a topic that takes them are put off with those to one that does not',
    tests: kafka,
  },
];

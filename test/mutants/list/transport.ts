/**
 * Mistakes in what carries messages: what transports share, the one in memory, BullMQ.
 */
import type { Mutant } from '../mutant.ts';

const PARTITIONS = 'src/transport/partitions.ts';
const MEMORY = 'src/transport/memory.ts';
const IN_FLIGHT = 'src/transport/bullmq/in-flight.ts';
const OPEN = 'src/transport/open-deliveries.ts';
const BATCH = 'src/transport/bullmq/batch.ts';
const JOBS = 'src/transport/bullmq/jobs.ts';

export const TRANSPORT: readonly Mutant[] = [
  {
    name: 'transport/abilities/sink-received-from',
    file: 'src/transport/abilities.ts',
    from: '  if (needs.receive === true && !receives)',
    to: '  if (needs.receive === true && receives === undefined)',
    breaks: 'a consumer waits for ever on what can only be sent to',
    tests: ['test/transport/abilities.test.ts'],
  },
  {
    name: 'transport/abilities/order-unasked',
    file: 'src/transport/abilities.ts',
    from: '  if (needs.order === true && !orders)',
    to: '  if (needs.order === true && !orders && !receives)',
    breaks: 'I3: order is promised on a broker that keeps none',
    tests: ['test/transport/abilities.test.ts'],
  },
  {
    name: 'transport/partitions/sign-of-the-hash',
    file: PARTITIONS,
    from: '((hash ^ (hash >>> 16)) >>> 0) % partitions',
    to: 'Math.abs(hash ^ (hash >>> 16)) % partitions',
    breaks: 'I3: publishers of two versions put one key into two partitions',
    tests: ['test/transport/partitions.test.ts'],
  },
  {
    name: 'transport/partitions/by-the-id',
    file: PARTITIONS,
    from: 'const text = message.key ?? message.id;',
    to: 'const text = message.id;',
    breaks: 'I3: messages of one key go to different partitions',
    tests: ['test/transport/partitions.test.ts'],
  },
  {
    name: 'transport/throttle/each-port-another',
    file: 'src/transport/throttle-errors.ts',
    from: `.replaceAll(/\\d+/g, '0')}\``,
    to: `}\``,
    breaks: 'an outage fills the log, a line for each attempt to connect',
    tests: ['test/transport/throttle-errors.test.ts'],
  },
  {
    name: 'transport/memory/key-not-closed',
    file: MEMORY,
    from: '      if (message.key !== null) closedKeys.add(message.key);',
    to: `      if (message.key !== null && message.state === 'in-flight') closedKeys.add(message.key);`,
    breaks: 'I3: a message overtakes the one before it that was put off',
    tests: ['test/transport/memory.test.ts'],
  },
  {
    name: 'transport/bullmq/lost-goes-on',
    file: IN_FLIGHT,
    from: `  delivery.lost = true;
  delivery.controller.abort`,
    to: '  delivery.controller.abort',
    breaks: 'a verdict is sent for a message that somebody else has',
    tests: ['test/transport/bullmq/in-flight.test.ts'],
  },
  {
    name: 'transport/bullmq/expired-goes-on',
    file: IN_FLIGHT,
    from: 'if (delivery.claimedUntilMs < nowMs) lose',
    to: 'if (delivery.claimedUntilMs > nowMs) lose',
    breaks: 'two consumers handle a message while the broker cannot be reached',
    tests: ['test/transport/bullmq/in-flight.test.ts'],
  },
  {
    name: 'transport/bullmq/renewed-for-none',
    file: IN_FLIGHT,
    from: '      if (delivery !== undefined) delivery.claimedUntilMs = claimedUntilMs;',
    to: '      if (delivery !== undefined) delivery.claimedUntilMs = Math.min(delivery.claimedUntilMs, claimedUntilMs);',
    breaks: 'handlers that take longer than a lock are aborted',
    tests: ['test/transport/bullmq/in-flight.test.ts'],
  },
  {
    name: 'transport/bullmq/put-off-by-the-own-clock',
    file: JOBS,
    from: 'Math.min(clocks.ownMs, clocks.brokerMs) + delayMs',
    to: 'clocks.ownMs + delayMs',
    breaks: 'I13: what a process whose clock is an hour ahead puts off lies in the queue for that hour',
    tests: ['test/transport/bullmq/jobs.test.ts'],
  },
  {
    name: 'transport/bullmq/handed-out-again',
    file: IN_FLIGHT,
    from: `    lose(this.#byId.get(id), 'the broker handed the message out again');
`,
    to: '',
    breaks: 'two runs of a handler for one message, and the first one is not told',
    tests: ['test/transport/bullmq/in-flight.test.ts'],
  },
  {
    name: 'transport/bullmq/forgets-the-second',
    file: IN_FLIGHT,
    from: '    if (this.#byId.get(id) === delivery) this.#byId.delete(id);',
    to: '    this.#byId.delete(id);',
    breaks: 'when a lost delivery ends, the one that took its place is not told of its own loss',
    tests: ['test/transport/bullmq/in-flight.test.ts'],
  },
  {
    name: 'transport/open/drained-too-early',
    file: OPEN,
    from: 'if (this.#hasBegun && this.#isEmpty()) this.#drained.abort();',
    to: 'if (this.#hasBegun) this.#drained.abort();',
    breaks: 'I24: a stop does not wait for what is being handled',
    tests: ['test/transport/bullmq/in-flight.test.ts'],
  },
  {
    name: 'transport/bullmq/whole-batch-refused',
    file: BATCH,
    from: `      outcomes[index] = refused(fault, true);
      continue;`,
    to: `      outcomes[index] = refused(fault, true);
      break;`,
    breaks: 'I1: behind a message that cannot be sent the others are said to be published',
    tests: ['test/transport/bullmq/batch.test.ts'],
  },
  {
    name: 'transport/bullmq/envelope-in-characters',
    file: BATCH,
    from: `  const bytes = Buffer.byteLength(message.wire);
  if (bytes <= settings.maxMessageBytes) return undefined;`,
    to: `  const bytes = message.wire.length;
  if (bytes <= settings.maxMessageBytes * 3) return undefined;`,
    breaks: 'I18: the broker gets messages larger than it takes, again and again',
    tests: ['test/transport/bullmq/batch.test.ts'],
  },
  {
    name: 'transport/bullmq/any-text',
    file: BATCH,
    from: `  if (!message.wire.startsWith('{') || !message.wire.endsWith('}'))`,
    to: `  if (message.wire === '')`,
    breaks: 'I17: a job that BullMQ cannot parse stops its queue',
    tests: ['test/transport/bullmq/batch.test.ts'],
  },
  {
    name: 'transport/bullmq/refused-for-now',
    file: BATCH,
    from: '      outcomes[index] = refused(fault, true);',
    to: '      outcomes[index] = refused(fault, false);',
    breaks: 'what can never be sent is tried again',
    tests: ['test/transport/bullmq/batch.test.ts'],
  },
  {
    name: 'transport/bullmq/replay-under-the-old-id',
    file: JOBS,
    from: `message.replayId === null ? message.id : \`\${message.id}.\${message.replayId}\``,
    to: 'message.id',
    breaks: 'I19: the broker takes a replayed message for one that it has',
    tests: ['test/transport/bullmq/jobs.test.ts'],
  },
  {
    name: 'transport/bullmq/id-of-digits',
    file: JOBS,
    from: `  if (/^\\d+$/.test(id)) return \`id-\${id}\`;
`,
    to: '',
    breaks: 'BullMQ refuses an id of digits, and with it the batch',
    tests: ['test/transport/bullmq/jobs.test.ts'],
  },
  {
    name: 'transport/bullmq/first-partition-renamed',
    file: JOBS,
    from: `  return partition === 0 ? destination : \`\${destination}#\${partition}\`;`,
    to: `  return \`\${destination}#\${partition}\`;`,
    breaks: 'I1: when a destination gets partitions, what lies in its queue is read by nobody',
    tests: ['test/transport/bullmq/jobs.test.ts'],
  },
  {
    name: 'transport/open/handlers-not-told',
    file: OPEN,
    from: '    for (const { controller } of this.#all) controller.abort(new Error(why));',
    to: '    if (this.#all.size === 0) this.#drain.begin();',
    breaks: 'I24: handlers do not hear of a hard stop',
    tests: ['test/transport/open-deliveries.test.ts'],
  },
  {
    name: 'transport/open/abandoned-at-once',
    file: OPEN,
    from: `  await systemClock.sleep(HARD_STOP_GRACE_MS, AbortSignal.any([drained, closed]));
`,
    to: '',
    breaks: 'what a handler says as soon as it is stopped counts no more, and it runs again',
    tests: ['test/transport/open-deliveries.test.ts'],
  },
  {
    name: 'transport/open/left-open-by-a-soft-stop',
    file: OPEN,
    from: 'AbortSignal.any([hard, drained, closed])',
    to: 'AbortSignal.any([drained, closed])',
    breaks: 'I24: a hard stop waits for handlers as long as they like',
    tests: ['test/transport/open-deliveries.test.ts'],
  },
  {
    name: 'transport/memory/taken-twice',
    file: MEMORY,
    from: `        if (!messages.has(id))
`,
    to: '',
    breaks: 'a message that is published again while it is handled is handed out at once, too',
    tests: ['test/transport/memory.test.ts'],
  },
  {
    name: 'transport/redis-streams/acknowledged-before-deleted',
    file: 'src/transport/redis-streams/partition-store.ts',
    from: 'pipeline.xdel(keys.stream, ...done).xack(keys.stream, GROUP, ...done)',
    to: 'pipeline.xack(keys.stream, GROUP, ...done).xdel(keys.stream, ...done)',
    breaks:
      'a death in between leaves messages in Redis that nobody is ever given, and an ordered destination is never drained',
    tests: ['test/transport/redis-streams/reading-on.test.ts'],
  },
  {
    name: 'transport/redis-streams/put-off-forgotten',
    file: 'src/transport/redis-streams/reading-way.ts',
    from: ' && this.#without < MOST_WITHOUT',
    to: '',
    breaks: 'what was put off is not handed out again for as long as there is a backlog',
    tests: ['test/transport/redis-streams/reading-on.test.ts'],
  },
  {
    name: 'transport/rabbitmq/handler-not-told',
    file: 'src/transport/rabbitmq/handling.ts',
    from: `      open.controller.abort(reason);
`,
    to: '',
    breaks: 'a handler goes on with a message that the broker has given to somebody else',
    tests: ['test/transport/rabbitmq/handling.test.ts'],
  },
];

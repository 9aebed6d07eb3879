/**
 * What a test of messages can do, in memory (memory-test.ts) and on PostgreSQL (database-test.ts) alike: send as a service does, deliver as a
 * broker does, ask as a saga does, and look at what came of it.
 */
import { randomUUID } from 'node:crypto';
import { HoldfastError } from '../../errors.ts';
import { encodeWire } from '../../message/envelope.ts';
import type { MessageType, PayloadInput } from '../../message/message-type.ts';
import type { Outbox, SentMessage } from '../../outbox/outbox.ts';
import { DEFAULT_MAX_BYTES, prepareMessage } from '../../outbox/prepare.ts';
import type { SendOptions } from '../../outbox/send-options.ts';
import type { TransactionHandle } from '../../postgres/executor.ts';
import { createRedactor, type Redactor } from '../../runtime/redact.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { DEFAULT_REPLY_TOPIC, writeSagaCall, type SagaReply } from '../../saga/protocol/wire.ts';
import type { Publisher } from '../../transport/port.ts';
import type {
  DeliveriesLog,
  FailedMessage,
  ParkedMessage,
  ReceivedMessage,
  SettledDelivery,
} from './deliveries-log.ts';
import type { SentLog, SentTestMessage } from './sent-log.ts';

/** Options of {@link MessageTest.deliver}. */
export interface DeliverOptions extends Omit<SendOptions, 'delay' | 'deliverAt'> {
  /**
   * The queue to put it into.
   *
   * @defaultValue where the routes lead
   */
  readonly to?: string | undefined;
  /**
   * How many copies of it come, at the same time.
   *
   * @defaultValue 1
   */
  readonly times?: number | undefined;
}

/** What {@link MessageTest.deliver} gives back. */
export interface DeliveredMessage {
  readonly id: string;
  /** What came of each delivery until now, in order. */
  readonly outcomes: readonly SettledDelivery[];
}

/** Options of {@link MessageTest.command} and {@link MessageTest.compensate}. */
export interface AskOptions {
  /**
   * The run that asks.
   *
   * @defaultValue a new one
   */
  readonly runId?: string | undefined;
  /**
   * The call of the run: the same run and call again are the same piece of work.
   *
   * @defaultValue 'call'
   */
  readonly call?: string | undefined;
  /**
   * How many copies come, at the same time.
   *
   * @defaultValue 1
   */
  readonly times?: number | undefined;
}

/** Options of {@link MessageTest.compensate}. */
export interface CompensateOptions extends AskOptions {
  /** What is compensated: run and call are taken from it. */
  readonly of?: AnsweredCommand | undefined;
  /**
   * What the saga knows of the command.
   *
   * @defaultValue 'done' with `of`, else 'unknown'
   */
  readonly outcome?: 'done' | 'unknown' | undefined;
}

/** What came of a command, or of its compensation. */
export interface AnsweredCommand extends DeliveredMessage {
  readonly runId: string;
  readonly call: string;
  /** The last answer; null: none has come. */
  readonly reply: SagaReply | null;
  /** How many answers have come. */
  readonly replies: number;
}

/** Messages under test. Made by {@link testMessages} and {@link testMessagesOn}. */
export interface MessageTest<Tx> {
  /** In place of `createOutbox()`: give it to the service under test. */
  readonly outbox: Outbox;
  /** What is sent in it travels if `fn` resolves, and is forgotten if it rejects. Settles. */
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
  /** Sends in a transaction of its own, and settles. */
  send<Type extends MessageType>(type: Type, payload: PayloadInput<Type>, options?: SendOptions): Promise<SentMessage>;
  /** Hands a message to consumers, past any outbox, as if another service had sent it. Settles. */
  deliver<Type extends MessageType>(
    type: Type,
    payload: PayloadInput<Type>,
    options?: DeliverOptions,
  ): Promise<DeliveredMessage>;
  /** Sends a command as a saga does, and settles. */
  command<Type extends MessageType>(
    type: Type,
    payload: PayloadInput<Type>,
    options?: AskOptions,
  ): Promise<AnsweredCommand>;
  /** Sends the compensation of a command as a saga does, and settles. */
  compensate<Type extends MessageType>(
    type: Type,
    payload: PayloadInput<Type>,
    options?: CompensateOptions,
  ): Promise<AnsweredCommand>;
  /**
   * Until nothing goes on any more by itself. Rejects with HF_TEST_UNSETTLED, and with HF_TX_UNSUPPORTED for a handler that asked for a
   * database where there is none.
   */
  settle(): Promise<void>;
  /** All that was committed to the outbox, oldest first; also what leaves later. */
  readonly messages: readonly SentTestMessage[];
  /** All that was handled, in that order: once for each consumer that did. */
  readonly handled: readonly ReceivedMessage[];
  /** Attempts that failed, oldest first. */
  readonly failed: readonly FailedMessage[];
  /** What is parked now. */
  readonly parked: readonly ParkedMessage[];
  /** How messages of matchers show what was sent. */
  readonly redactor: Redactor;
}

/** What a test of messages is built on. */
export interface TestGround<Tx> {
  readonly outbox: Outbox;
  readonly sent: SentLog;
  readonly log: DeliveriesLog;
  readonly publisher: Publisher;
  readonly now: () => number;
  readonly transaction: <T>(fn: (tx: Tx) => Promise<T>) => Promise<T>;
  readonly settle: () => Promise<void>;
  /** Queues of a topic. */
  readonly queuesOf: (topic: string) => readonly string[];
}

/** Queues may share no broker's id, or the second copy would be taken for the first. */
const NEVER_ABORTED = new AbortController().signal;

export function createMessageTest<Tx>(
  ground: TestGround<Tx>,
  redact: readonly string[],
  where: string,
): MessageTest<Tx> {
  const { outbox, sent, log } = ground;
  const redactor = createRedactor(redact, `${where}: redact`);

  async function settle(): Promise<void> {
    await ground.settle();
    if (log.faults.length > 0) throw log.faults.shift();
  }

  async function deliver(type: MessageType, payload: unknown, options: DeliverOptions = {}): Promise<DeliveredMessage> {
    const { to, times = 1, ...sendOptions } = options;
    if (!Number.isInteger(times) || times < 1)
      throw new HoldfastError('HF_CONFIG', `deliver has times ${times}.`, { advice: 'Give a whole number from 1 on.' });
    const prepared = await prepareMessage(
      { type, payload, options: sendOptions },
      { source: undefined, maxBytes: DEFAULT_MAX_BYTES, where: 'deliver' },
    );
    const { id, topic, key } = prepared;
    const queues = to === undefined ? ground.queuesOf(topic) : [to];
    if (queues.length === 0)
      throw new HoldfastError('HF_CONFIG', `deliver: no consumer of this test handles ${topic}.`, {
        advice: 'Give one in `consumers` or `participants`, or name a queue with `to`.',
      });
    const time = new Date(ground.now()).toISOString();
    const wire = encodeWire({ id, topic, key, time, payload: prepared.payload, headers: prepared.attributes });
    const copies = queues.flatMap((destination) =>
      // The broker takes two with one id for the same message while it has the first.
      Array.from({ length: times }, () => ({ id, topic, key, destination, wire, replayId: randomUUID() })),
    );
    const before = log.settled.length;
    await ground.publisher.publish(copies, { signal: NEVER_ABORTED });
    await settle();
    const outcomes = log.settled.slice(before).filter((each) => each.id === id);
    return { id, outcomes: outcomes.map(({ consumer, outcome }) => ({ consumer, outcome })) };
  }

  async function ask(
    type: MessageType,
    payload: unknown,
    { runId, call, times, ...role }: Asked,
  ): Promise<AnsweredCommand> {
    const headers = writeSagaCall({ runId, call, replyTo: DEFAULT_REPLY_TOPIC, ...role });
    const before = sent.messages.length;
    const delivered = await deliver(type, payload, { headers, correlationId: runId, times });
    const replies = sent.messages
      .slice(before)
      .map((message) => message.payload as SagaReply)
      .filter((reply) => reply?.runId === runId && reply.call === call && reply.to === role.role);
    return { ...delivered, runId, call, reply: replies.at(-1) ?? null, replies: replies.length };
  }

  return {
    outbox,
    async transaction(fn) {
      const value = await ground.transaction(fn);
      await settle();
      return value;
    },
    async send(type, payload, options) {
      const message = await ground.transaction((tx) => outbox.send(tx as TransactionHandle, type, payload, options));
      await settle();
      return message;
    },
    deliver,
    async command(type, payload, options = {}) {
      refuseUnknownOptions(options, ['runId', 'call', 'times'], 'command');
      const { runId = randomUUID(), call = 'call', times } = options;
      return ask(type, payload, { runId, call, times, role: 'command', outcome: null });
    },
    async compensate(type, payload, options = {}) {
      refuseUnknownOptions(options, ['runId', 'call', 'times', 'of', 'outcome'], 'compensate');
      const { of, times } = options;
      const { runId = of?.runId ?? randomUUID(), call = of?.call ?? 'call' } = options;
      const { outcome = of === undefined ? 'unknown' : 'done' } = options;
      return ask(type, payload, { runId, call, times, role: 'compensation', outcome });
    },
    settle,
    get messages() {
      return [...sent.messages];
    },
    get handled() {
      return [...log.handled];
    },
    get failed() {
      return [...log.failed];
    },
    get parked() {
      return log.parked;
    },
    redactor,
  };
}

type Asked = { readonly runId: string; readonly call: string; readonly times: number | undefined } & (
  | { readonly role: 'command'; readonly outcome: null }
  | { readonly role: 'compensation'; readonly outcome: 'done' | 'unknown' }
);

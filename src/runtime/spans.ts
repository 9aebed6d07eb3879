/**
 * The spans that Holdfast makes: their names, kinds and attributes, all of them, in one table. docs/telemetry.md lists the same, and a test
 * holds the two together. After OpenTelemetry's semantic conventions for messaging, where these say anything.
 *
 * No payload, no key and no header stands in an attribute, nor what an error says in words: traces are read by more people than tables.
 */
import { SpanKind } from '@opentelemetry/api';

/** Every attribute, with what it holds. */
export const SPAN_ATTRIBUTES = {
  'messaging.system': "'holdfast'",
  'messaging.operation.name': 'the first word of the name of the span: send, publish, process',
  'messaging.operation.type': 'create, send or process, as the conventions call them',
  'messaging.destination.name': 'the queue; of send the topic',
  'messaging.message.id': 'id of the message',
  'messaging.batch.message_count': 'how many messages were published together',
  'messaging.consumer.group.name': 'the consumer',
  'error.type': 'code or name of the error, where it failed; never its message',
  'holdfast.topic': 'topic of the message',
  'holdfast.relay': 'the subscription of the relay',
  'holdfast.transport': 'kind of the transport, such as bullmq-redis',
  'holdfast.refused': 'how many messages the broker refused, if it did',
  'holdfast.redeliveries': 'how often it was handed out before without a verdict, if it was',
  'holdfast.redrive': 'true: it was parked, and is handled once more',
  'holdfast.outcome': 'what came of it',
  'holdfast.saga': 'name of the saga',
  'holdfast.saga.version': 'its version',
  'holdfast.run.id': 'id of the run',
  'holdfast.run.status': 'status of the run at the end of the span',
  'holdfast.run.lost': 'how many workers were lost with the run, if any was',
  'holdfast.call': 'the call, such as charge or charge:2',
  'holdfast.attempt': 'which attempt, from 1 on',
  'holdfast.waited_ms': 'how long it was waited for in all, in milliseconds',
} as const;

export type SpanAttribute = keyof typeof SPAN_ATTRIBUTES;

interface SpanShape {
  /** In the documents. What stands in braces is different from span to span; there are few of each. */
  readonly name: string;
  readonly kind: SpanKind;
  readonly attributes: readonly SpanAttribute[];
}

const MESSAGING = [
  'messaging.system',
  'messaging.operation.name',
  'messaging.operation.type',
  'messaging.destination.name',
] as const;
const RUN = ['holdfast.saga', 'holdfast.saga.version', 'holdfast.run.id'] as const;
const ATTEMPT = [...RUN, 'holdfast.call', 'holdfast.attempt', 'holdfast.outcome', 'error.type'] as const;

/** Every span. */
export const SPANS = {
  send: {
    name: 'send {topic}',
    kind: SpanKind.PRODUCER,
    attributes: [...MESSAGING, 'messaging.message.id', 'holdfast.topic', 'error.type'],
  },
  publish: {
    name: 'publish {queue}',
    kind: SpanKind.CLIENT,
    attributes: [
      ...MESSAGING,
      'messaging.batch.message_count',
      'holdfast.relay',
      'holdfast.transport',
      'holdfast.refused',
      'error.type',
    ],
  },
  process: {
    name: 'process {queue}',
    kind: SpanKind.CONSUMER,
    attributes: [
      ...MESSAGING,
      'messaging.message.id',
      'messaging.consumer.group.name',
      'holdfast.topic',
      'holdfast.redeliveries',
      'holdfast.redrive',
      'holdfast.outcome',
      'error.type',
    ],
  },
  start: { name: 'start {saga}', kind: SpanKind.PRODUCER, attributes: [...RUN, 'error.type'] },
  run: {
    name: 'run {saga}',
    kind: SpanKind.INTERNAL,
    attributes: [...RUN, 'holdfast.run.status', 'holdfast.run.lost', 'error.type'],
  },
  step: { name: 'step {step}', kind: SpanKind.INTERNAL, attributes: ATTEMPT },
  transaction: { name: 'transaction {step}', kind: SpanKind.INTERNAL, attributes: ATTEMPT },
  compensate: { name: 'compensate {step}', kind: SpanKind.INTERNAL, attributes: ATTEMPT },
  verify: { name: 'verify {step}', kind: SpanKind.INTERNAL, attributes: ATTEMPT },
  fallback: { name: 'fallback {step}', kind: SpanKind.INTERNAL, attributes: ATTEMPT },
  wait: {
    name: 'wait {step}',
    kind: SpanKind.INTERNAL,
    attributes: [...RUN, 'holdfast.call', 'holdfast.waited_ms', 'holdfast.outcome'],
  },
} as const satisfies Readonly<Record<string, SpanShape>>;

export type SpanName = keyof typeof SPANS;

/** Events within spans, with their attributes. */
export const SPAN_EVENTS = {
  'attempt failed': { of: 'process', attributes: ['holdfast.attempt', 'error.type'] },
} as const satisfies Readonly<Record<string, { readonly of: SpanName; readonly attributes: readonly SpanAttribute[] }>>;

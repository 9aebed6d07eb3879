/**
 * The span of a delivery: from the moment the broker hands it over to the verdict, with all attempts, and whatever the handler does as part
 * of it. It goes on the trace of the message: a single message has a single past, and its trace shows where it went.
 */
import type { Envelope } from '../../message/envelope.ts';
import { BAGGAGE_HEADER } from '../../runtime/baggage.ts';
import { startSpan, type CarriedTrace, type SpanAttributes, type TracedSpan } from '../../runtime/telemetry.ts';
import type { Incoming } from './incoming.ts';

/** Where and by whom it is handled. */
export interface ProcessedBy {
  readonly name: string;
  readonly destination: string;
}

interface Circumstances {
  readonly redeliveries?: number;
  /** It was parked, and is handled once more. */
  readonly redrive?: boolean;
}

/** Null: nobody traces. Ask isTracing before. */
export function startProcess(
  { name, destination }: ProcessedBy,
  { id, topic, envelope }: Pick<Incoming, 'id' | 'topic' | 'envelope'>,
  { redeliveries = 0, redrive = false }: Circumstances,
): TracedSpan | null {
  const attributes: { -readonly [Name in keyof SpanAttributes]: SpanAttributes[Name] } = {
    'messaging.system': 'holdfast',
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': destination,
    'messaging.message.id': id,
    'messaging.consumer.group.name': name,
    'holdfast.topic': topic,
  };
  if (redeliveries > 0) attributes['holdfast.redeliveries'] = redeliveries;
  if (redrive) attributes['holdfast.redrive'] = true;
  return startSpan('process', {
    of: destination,
    parent: envelope === null ? null : carriedBy(envelope),
    attributes,
  });
}

/** What the sender's span left in the message. */
function carriedBy({ traceparent, tracestate, headers }: Envelope): CarriedTrace | null {
  return traceparent === null ? null : { traceparent, tracestate, baggage: headers[BAGGAGE_HEADER] };
}

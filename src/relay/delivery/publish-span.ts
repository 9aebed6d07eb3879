/**
 * The span of one call of the broker. It is the first of a trace of its own, and refers to the span of each message in it by a link: what is
 * published together was sent by many, and belongs to none of them alone.
 */
import { isTracing, startSpan, type TraceContext, type TracedSpan } from '../../runtime/telemetry.ts';
import type { OutboundMessage, PublishOutcome } from '../../transport/port.ts';

/** As many links as an SDK keeps by default. Of a batch of thousands the others would only cost. */
const MOST_LINKS = 128;

/** Null: nobody traces. */
export function startPublish(
  batch: readonly OutboundMessage[],
  { subscription, transport }: { readonly subscription: string; readonly transport: string },
): TracedSpan | null {
  if (!isTracing()) return null;
  const destinations = new Set(batch.map(({ destination }) => destination));
  const [only = ''] = destinations;
  const name = destinations.size === 1 ? only : 'several queues';
  return startSpan('publish', {
    of: name,
    parent: null,
    links: batch.slice(0, MOST_LINKS).map(({ wire }) => traceOfWire(wire)),
    attributes: {
      'messaging.system': 'holdfast',
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      ...(destinations.size === 1 ? { 'messaging.destination.name': only } : {}),
      'messaging.batch.message_count': batch.length,
      'holdfast.relay': subscription,
      'holdfast.transport': transport,
    },
  });
}

/** How many the broker refused, if it did. */
export function toldOutcomes(span: TracedSpan, outcomes: readonly PublishOutcome[]): void {
  const refused = outcomes.filter(({ kind }) => kind === 'refused').length;
  if (refused > 0) span.set({ 'holdfast.refused': refused });
}

/** The attributes of a message have at most 16 KiB, and stand before its payload. */
const MOST_BEFORE_PAYLOAD = 17_000;
const TRACEPARENT = /"traceparent"\s*:\s*"(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})"/;

/** Looked for and not parsed: a relay never reads a payload. Where a user has a header of that name, it may be that one. */
function traceOfWire(wire: string): TraceContext | null {
  const payload = wire.slice(0, MOST_BEFORE_PAYLOAD).indexOf(',"data":');
  const head = wire.slice(0, payload < 0 ? MOST_BEFORE_PAYLOAD : payload);
  const traceparent = TRACEPARENT.exec(head)?.[1];
  return traceparent === undefined ? null : { traceparent, tracestate: null };
}

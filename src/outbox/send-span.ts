/**
 * The span of a message that is sent: it stands for the message from then on. What it is published and processed by refers to it, wherever
 * and whenever that is. It ends when the message is ready; the statement that writes it is for whoever traces the database.
 */
import { BAGGAGE_HEADER } from '../runtime/baggage.ts';
import { currentTraceContext, startSpan, type SpanStart, type TracedSpan } from '../runtime/telemetry.ts';
import type { SendOptions } from './send-options.ts';

/** What is left for baggage beside the headers of a user, in characters: it must never be too much for a message. */
const MOST_HEADERS = 8_192;

/**
 * Null: nobody traces, or the sender has said the trace itself, and has a span of its own. `within`: the span that sends; null: what runs
 * just now, and where nothing does, the message that is being handled.
 */
export function startSend(topic: string, options: SendOptions, within: TracedSpan | null): TracedSpan | null {
  if (typeof options !== 'object' || options === null || options.traceparent !== undefined) return null;
  return startSpan('send', {
    of: topic,
    parent: within ?? parentOf(options),
    attributes: {
      'messaging.system': 'holdfast',
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'create',
      'messaging.destination.name': topic,
      'holdfast.topic': topic,
    },
  });
}

function parentOf({ causedBy }: SendOptions): SpanStart['parent'] {
  if (currentTraceContext() !== null || typeof causedBy?.traceparent !== 'string') return 'active';
  const { traceparent, tracestate } = causedBy;
  return { traceparent, tracestate: tracestate ?? null };
}

/** The options with the trace of the span, and with its baggage where there is room for it. */
export function tracedOptions(options: SendOptions, span: TracedSpan): SendOptions {
  const { carried } = span;
  if (carried === null) return options;
  const { traceparent, tracestate, baggage } = carried;
  const traced = { ...options, traceparent, tracestate: tracestate ?? undefined };
  const { headers } = options;
  if (baggage === undefined || !hasRoom(headers)) return traced;
  return { ...traced, headers: { [BAGGAGE_HEADER]: baggage, ...headers } };
}

/** Headers of the wrong shape are left as they are, to be refused. */
function hasRoom(headers: unknown): boolean {
  if (headers === undefined) return true;
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) return false;
  let characters = 0;
  for (const [name, value] of Object.entries(headers))
    characters += name.length + (typeof value === 'string' ? value.length : 0);
  return characters <= MOST_HEADERS;
}

/**
 * The trace a message is sent in, for its envelope. With no OpenTelemetry SDK registered this is
 * one function call that finds nothing.
 */
import { isSpanContextValid, trace } from '@opentelemetry/api';
import { outcomeOf, warnOnce } from './observers.ts';

/** W3C Trace Context, as it travels in an envelope. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate: string | null;
}

/**
 * The active span as W3C Trace Context, or null when there is none.
 * Written out here rather than injected by the registered propagator, because the envelope is W3C whatever
 * propagator (B3, Jaeger) the process uses for HTTP. https://www.w3.org/TR/trace-context/#traceparent-header
 */
export function currentTraceContext(): TraceContext | null {
  // A registered SDK is the user's: a message is sent whatever becomes of its trace.
  return outcomeOf(activeSpan, report) ?? null;
}

const report = warnOnce('The tracer');

function activeSpan(): TraceContext | null {
  const span = trace.getActiveSpan()?.spanContext();
  if (span === undefined || !isSpanContextValid(span)) return null;
  const flags = (span.traceFlags & 0xff).toString(16).padStart(2, '0');
  const state = span.traceState?.serialize() ?? '';
  return { traceparent: `00-${span.traceId}-${span.spanId}-${flags}`, tracestate: state === '' ? null : state };
}

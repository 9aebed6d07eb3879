/**
 * The ids by which a line of the log is found from a span, and a span from a line. Named as OpenTelemetry names them in logs that are not its own.
 */
import { isSpanContextValid, trace, type SpanContext } from '@opentelemetry/api';

/** Fields of a log line. */
export interface TraceIds {
  readonly trace_id?: string;
  readonly span_id?: string;
}

export const NO_TRACE_IDS: TraceIds = {};

export function traceIdsOf(span: SpanContext | undefined): TraceIds {
  if (span === undefined || !isSpanContextValid(span)) return NO_TRACE_IDS;
  return { trace_id: span.traceId, span_id: span.spanId };
}

/** Of the span that is active just now. Never throws: a line is written whatever becomes of its trace. */
export function activeTraceIds(): TraceIds {
  try {
    return traceIdsOf(trace.getActiveSpan()?.spanContext());
  } catch {
    return NO_TRACE_IDS;
  }
}

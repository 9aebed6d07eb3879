/** The trace of whoever started a run, as its journal keeps it. Read with care: it decides nothing, so nothing may depend on its shape. */
import type { CarriedTrace } from '../../runtime/telemetry.ts';

/** In the event `started`. Absent: nobody traced. */
export interface RunTrace {
  readonly traceparent: string;
  readonly tracestate?: string;
  readonly baggage?: string;
}

export function recordTrace({ traceparent, tracestate, baggage }: CarriedTrace): RunTrace {
  return {
    traceparent,
    ...(tracestate === null ? {} : { tracestate }),
    ...(baggage === undefined ? {} : { baggage }),
  };
}

export function readTrace(recorded: RunTrace | undefined): CarriedTrace | null {
  if (typeof recorded?.traceparent !== 'string') return null;
  const { traceparent, tracestate, baggage } = recorded;
  return {
    traceparent,
    tracestate: typeof tracestate === 'string' ? tracestate : null,
    ...(typeof baggage === 'string' ? { baggage } : {}),
  };
}

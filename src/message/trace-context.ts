/**
 * W3C Trace Context as text: https://www.w3.org/TR/trace-context/.
 * A malformed one is dropped and not refused, as the specification asks: tracing must never cost a message.
 */

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?$/;
/** Printable ASCII. The specification asks for at least 512 characters to be passed on. */
const TRACESTATE = /^[\x20-\x7e]{1,512}$/;

/** True for a well-formed `traceparent`. Version 00 has exactly four parts; later ones may append. */
export function isTraceparent(value: string): boolean {
  return value.length <= 512 && TRACEPARENT.test(value) && (!value.startsWith('00') || value.length === 55);
}

/** Both attributes when well-formed. Without a traceparent, a tracestate means nothing and is dropped too. */
export function cleanTraceContext(
  traceparent: string | null | undefined,
  tracestate: string | null | undefined,
): { readonly traceparent: string | null; readonly tracestate: string | null } {
  if (typeof traceparent !== 'string' || !isTraceparent(traceparent)) return { traceparent: null, tracestate: null };
  return { traceparent, tracestate: typeof tracestate === 'string' && TRACESTATE.test(tracestate) ? tracestate : null };
}

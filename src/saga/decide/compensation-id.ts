/** The name of a compensation among what is in flight. */
import type { CallState } from '../journal/state.ts';

/** Distinguishes the compensation of a call from the call itself among what is in flight. */
export function compensationId(call: CallState): string {
  return `${call.id} compensate`;
}

/** What a compensation is told of the call that it compensates. Pure. */
import type { CompensatedCall, StepDefinition } from '../definition/steps.ts';
import { raisedInput, raisedOutput } from './recorded-values.ts';
import { knownAsDone, valueOf, type CallState } from './state.ts';

/**
 * `key`: the idempotency key that the call was made with.
 * @throws HoldfastError HF_MESSAGE_VERSION, HF_PAYLOAD_INVALID: what was recorded cannot be raised to the types of today
 */
export function compensatedCall(call: CallState, step: StepDefinition, key: string): CompensatedCall<unknown, unknown> {
  const input = raisedInput(step, call.version, valueOf(call.input));
  if (!knownAsDone(call)) return { input, key, outcome: 'unknown', output: undefined };
  return { input, key, outcome: 'done', output: raisedOutput(step, call.outputVersion, valueOf(call.output)) };
}

/**
 * The contract of a call: what the declaration says when the call is made, and the run relies on later. It is recorded with the call, because
 * a deployment may change the declaration meanwhile. Pure.
 */
import { inputVersionOf } from './recorded-values.ts';
import type { CallState } from './state.ts';
import { canCompensate, type StepDefinition } from '../definition/steps.ts';

/** What the declaration says today and the run relies on later, when another one may be there: it is recorded with the call. */
export interface CallContract {
  readonly pivot?: true;
  readonly undoable?: true;
  readonly version?: number;
}

/** Made once for each declaration: every call asks for it. */
const contracts = new WeakMap<StepDefinition, CallContract>();

export function contractOf(definition: StepDefinition): CallContract {
  let contract = contracts.get(definition);
  if (contract === undefined) {
    const version = inputVersionOf(definition);
    contract = {
      ...(definition.pivot ? ({ pivot: true } as const) : {}),
      ...(canCompensate(definition) ? ({ undoable: true } as const) : {}),
      ...(version === null ? {} : { version }),
    };
    contracts.set(definition, contract);
  }
  return contract;
}

/** It was recorded as one that can be compensated, and what is declared now cannot. */
export function breaksContract(call: CallState, step: StepDefinition): boolean {
  return call.undoable && !canCompensate(step);
}

/**
 * The call has started a child, and the declaration has its saga in another version by now: who offers the one that was started is not
 * said here any more.
 */
export function hasOtherChild(call: CallState, step: StepDefinition | undefined): boolean {
  const now = step?.saga?.version;
  return now !== undefined && call.child !== null && call.version !== null && call.version !== now;
}

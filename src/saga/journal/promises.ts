/**
 * What a call promises when it is made. It is recorded with the call, because a deployment may change the declaration before the promise
 * is kept. Pure.
 */
import { inputVersionOf } from './recorded-values.ts';
import type { CallState } from './state.ts';
import { canCompensate, type StepDefinition } from '../definition/steps.ts';

/** What the declaration says today and the run relies on later, when another one may be there: it is recorded with the call. */
export interface Promised {
  readonly pivot?: true;
  readonly undoable?: true;
  readonly version?: number;
}

/** Made once for each declaration: every call asks for it. */
const promises = new WeakMap<StepDefinition, Promised>();

export function promiseOf(definition: StepDefinition): Promised {
  let promised = promises.get(definition);
  if (promised === undefined) {
    const version = inputVersionOf(definition);
    promised = {
      ...(definition.pivot ? ({ pivot: true } as const) : {}),
      ...(canCompensate(definition) ? ({ undoable: true } as const) : {}),
      ...(version === null ? {} : { version }),
    };
    promises.set(definition, promised);
  }
  return promised;
}

/** It was recorded as one that can be compensated, and what is declared now cannot. */
export function breaksPromise(call: CallState, step: StepDefinition): boolean {
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

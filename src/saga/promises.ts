/**
 * What a call promises when it is made. It is recorded with the call, because a deployment may change the declaration before the promise
 * is kept. Pure. Used by the forward path, which records it, and by the undoing and the checks, which ask whether it can be kept.
 */
import { inputVersionOf } from './recorded-values.ts';
import type { CallState } from './state.ts';
import type { StepDefinition } from './steps.ts';

/** What the declaration says today and the run relies on later, when another one may be there: it is recorded with the call. */
export interface Promised {
  readonly pivot?: true;
  readonly undoable?: true;
  readonly version?: number;
}

export function promiseOf(definition: StepDefinition): Promised {
  const version = inputVersionOf(definition);
  return {
    ...(definition.pivot ? ({ pivot: true } as const) : {}),
    ...(canCompensate(definition) ? ({ undoable: true } as const) : {}),
    ...(version === null ? {} : { version }),
  };
}

/** It was recorded as one that can be undone, and what is declared now cannot. */
export function breaksPromise(call: CallState, step: StepDefinition): boolean {
  return call.undoable && !canCompensate(step);
}

export function canCompensate(step: StepDefinition): boolean {
  return step.kind === 'child' || step.compensate !== null;
}

/**
 * The saga of the demo: sagas/place-order.ts as it stands, with less patience, so that one sees it give up within some seconds.
 */
import { createSagas, type Database, type Sagas } from '../src/index.ts';
import type { StepDefinition } from '../src/saga/definition/steps.ts';
import { placeOrder as unhurried } from '../sagas/place-order.ts';

/** How long an answer is waited for, before the command is sent again; and before it is given up, three times that. */
export const PATIENCE_MS = 3_000;

export const placeOrder: typeof unhurried = {
  ...unhurried,
  steps: Object.fromEntries(Object.entries(unhurried.steps).map(([name, step]) => [name, hurried(step)])),
};

function hurried<S extends StepDefinition>(step: S): S {
  if (step.kind !== 'command') return step;
  return { ...step, timeoutMs: PATIENCE_MS, compensation: { ...step.compensation, timeoutMs: PATIENCE_MS } };
}

/** To start runs of it, and to speak to them. */
export function openSagas(database: Database): Sagas {
  return createSagas({ database, sagas: [placeOrder] });
}

/**
 * The saga of the demo: sagas/place-order.ts as it stands, with less patience, so that one sees it give up within some seconds.
 */
import { createSagas, type Database, type Sagas } from '../src/index.ts';
import type { StepDefinition } from '../src/saga/definition/steps.ts';
import { placeOrder } from '../sagas/place-order.ts';
import type { World } from './world.ts';

const PATIENCE_MS = 3_000;

export function patienceOf({ patienceMs = PATIENCE_MS }: Pick<World, 'patienceMs'>): number {
  return patienceMs;
}

/** As workers carry it out. */
export function hurriedOrder(world: Pick<World, 'patienceMs'>): typeof placeOrder {
  const timeoutMs = patienceOf(world);
  const hurried = <S extends StepDefinition>(step: S): S =>
    step.kind === 'command' ? { ...step, timeoutMs, compensation: { ...step.compensation, timeoutMs } } : step;
  const steps = Object.entries(placeOrder.steps).map(([name, step]) => [name, hurried(step)]);
  return { ...placeOrder, steps: Object.fromEntries(steps) };
}

/** To start runs of it, and to speak to them. */
export function openSagas(database: Database): Sagas {
  return createSagas({ database, sagas: [placeOrder] });
}

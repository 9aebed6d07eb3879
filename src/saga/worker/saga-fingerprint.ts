/**
 * A short name for what a saga declares and for the code of its `run`, by which two codes under one version are told apart. Pure.
 *
 * It is the source text that counts: the same code built in two ways has two fingerprints. So it only says that there may be another
 * code, and decides nothing by itself.
 */
import { createHash } from 'node:crypto';
import type { AnySaga } from '../definition/definition.ts';
import { canCompensate } from '../definition/steps.ts';
import { kindOf } from '../kinds/table.ts';

export function sagaFingerprint(saga: AnySaga): string {
  const steps = Object.entries(saga.steps).map(([name, step]) => [
    name,
    step.kind,
    step.pivot,
    canCompensate(step),
    kindOf(step).declares?.(step) ?? null,
  ]);
  const declared = [saga.name, saga.version, steps, Object.keys(saga.signals), saga.run.toString()];
  return createHash('sha256').update(JSON.stringify(declared)).digest('hex').slice(0, 16);
}

/**
 * A short name for what a saga declares and for the code of its `run`, by which two codes under one version are told apart. Pure.
 *
 * It is the source text that counts: the same code built in two ways has two fingerprints. So it only says that there may be another
 * code, and decides nothing by itself.
 */
import { createHash } from 'node:crypto';
import type { AnySaga } from '../definition/definition.ts';
import type { StepDefinition } from '../definition/steps.ts';
import { canCompensate } from '../journal/promises.ts';

export function sagaFingerprint(saga: AnySaga): string {
  const steps = Object.entries(saga.steps).map(([name, step]) => [
    name,
    step.kind,
    step.pivot,
    canCompensate(step),
    typesOf(step),
  ]);
  const declared = [saga.name, saga.version, steps, Object.keys(saga.signals), saga.run.toString()];
  return createHash('sha256').update(JSON.stringify(declared)).digest('hex').slice(0, 16);
}

function typesOf(step: StepDefinition): unknown {
  if (step.kind === 'command')
    return [step.command, step.reply, step.compensate?.message ?? null].map(
      (type) => type && [type.topic, type.version],
    );
  if (step.kind === 'emit')
    return [step.message, step.compensate?.message ?? null].map((type) => type && [type.topic, type.version]);
  return step.kind === 'child' ? [step.saga.name, step.saga.version] : null;
}

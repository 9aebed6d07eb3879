/**
 * Sagas as their code declares them, without the code: what a diagram of a saga is drawn from. Pure.
 */
import type { AnySaga } from '../../saga/definition/definition.ts';
import { canCompensate } from '../../saga/definition/steps.ts';
import type { DeclaredSaga } from './contract.ts';

export function declaredSagas(sagas: readonly AnySaga[]): readonly DeclaredSaga[] {
  return sagas.map(({ name, version, deadlineMs, concurrency, steps, signals }) => ({
    name,
    version,
    deadlineMs,
    concurrency,
    steps: Object.entries(steps).map(([step, definition]) => ({
      name: step,
      kind: definition.kind,
      pivot: definition.pivot,
      compensated: canCompensate(definition),
      topic: definition.inputType?.topic ?? null,
      child: definition.saga === null ? null : `${definition.saga.name}@${definition.saga.version}`,
      budget: {
        attempts: finite(definition.retry.attempts),
        withinMs: finite(definition.retry.withinMs),
        timeoutMs: finite(definition.timeoutMs),
      },
    })),
    signals: Object.keys(signals),
  }));
}

/** JSON has no Infinity. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

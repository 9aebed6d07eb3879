/** What was accepted and then came too late: it is recorded, and logged once. */
import type { DecisionContext } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';
import type { RefusedAct } from '../journal/refused.ts';

/** It changes nothing else. */
export function refuse(run: Run, act: RefusedAct, context: DecisionContext): void {
  run.record({ t: 'refused', ...act }, context.now);
  const fields = { run: run.id, saga: run.saga.name, ...act };
  run.settings.log?.warn(fields, `a ${act.what} came too late for a run and changes nothing`);
}

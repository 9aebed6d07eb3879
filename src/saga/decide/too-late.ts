/** What was let in and came too late: recorded, and said in the log once. Used by what takes mail in, and by the way back. */
import type { Scene } from '../run/facts.ts';
import type { Run } from '../run/run.ts';
import type { RefusedAct } from '../journal/refused.ts';

/** It changes nothing, and is not forgotten without a word. */
export function refuse(run: Run, act: RefusedAct, scene: Scene): void {
  run.record({ t: 'refused', ...act }, scene.now);
  const fields = { run: run.id, saga: run.saga.name, ...act };
  run.settings.log?.warn(fields, `a ${act.what} came too late for a run and changes nothing`);
}

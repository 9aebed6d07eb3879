/**
 * A process that carries one run of a reference saga on, with services and worker, and kills itself at an I/O point; at the latest when
 * the run has ended. Started by startChild.
 */
import { settings, tell } from './child-side.ts';
import { counter, type ReferenceChildSettings } from './reference-deaths.ts';
import { openReferenceWorld } from './reference-world.ts';

const { url, ledger, scenario, id, death } = settings() as ReferenceChildSettings;
const world = await openReferenceWorld(url, ledger);
const { diesAt } = counter(death);
const die = (): void => void process.kill(process.pid, 'SIGKILL');
await world.carryOn(scenario, id, (point) => {
  if (diesAt(point)) die();
  return false;
});
tell('ended');
die();

/**
 * The accidents of the demo: each process is killed once or twice, at the times that chaos.ts has for it.
 */
import { KILLS } from './chaos.ts';
import { ended } from './progress.ts';
import type { AccidentTools } from './run.ts';

/** Between one kill and the next there is time to recover: this part of the orders comes to its end. */
const RECOVERY = 0.05;

export async function plannedAccidents({ fleet, screen, orders, reach, setDown }: AccidentTools): Promise<void> {
  let recovered = 0;
  for (const { victim, at, midWork } of KILLS) {
    const reached = await reach((now) => ended(now) >= Math.min(0.95, Math.max(at, recovered)) * orders);
    const { pid, atWork } = await fleet.kill(victim, midWork === true ? 'at work' : 'now');
    const killedMs = performance.now();
    let isBack = false;
    setDown(victim);
    const restarted = fleet.start(victim).then(() => {
      isBack = true;
      setDown(undefined);
    });
    const [, back] = await Promise.all([restarted, reach(() => isBack)]);
    recovered = ended(back) / orders + RECOVERY;
    const backAfterMs = performance.now() - killedMs;
    screen.killed({ victim, part: ended(reached) / orders, pid, backAfterMs, atWork });
  }
}

/**
 * The run itself: watches the orders on their way, has processes killed in the middle, and waits until nothing is left to do.
 * Used by main.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backlog } from './broker.ts';
import { KILLS, type ProcessName } from './chaos.ts';
import type { Fleet } from './fleet.ts';
import { readProgress, type Databases, type Progress } from './progress.ts';
import type { Screen } from './screen.ts';
import { SERVICE_NAMES } from './world.ts';

export interface Run {
  readonly fleet: Fleet;
  readonly databases: Databases;
  readonly backlog: Backlog;
  readonly screen: Screen;
  readonly orders: number;
}

const POLL_MS = 200;
/** When nothing at all has changed for so long, nothing will. */
const STALLED_MS = 30_000;

/** Starts all processes and stops them when everything is done. Rejects with a Stalled when it never is. */
export async function runOrders({ fleet, databases, backlog, screen, orders }: Run): Promise<void> {
  let down: ProcessName | undefined;

  /** Looks at the tables until they are as wanted. */
  async function reach(goal: (now: Progress) => boolean | Promise<boolean>): Promise<Progress> {
    let last = '';
    let changedMs = performance.now();
    for (;;) {
      const now = await readProgress(databases);
      show(now);
      if (await goal(now)) return now;
      if (JSON.stringify(now) !== last) {
        last = JSON.stringify(now);
        changedMs = performance.now();
      }
      if (performance.now() - changedMs > STALLED_MS) throw new Stalled(missing(now, await backlog.count(), orders));
      await sleep(POLL_MS);
    }
  }

  function show({ sent, settled }: Progress): void {
    const count = (...topics: string[]): number => topics.reduce((sum, topic) => sum + (sent[topic] ?? 0), 0);
    screen.live({
      part: settled / orders,
      down,
      counters: {
        placed: count('order.placed'),
        reserved: count('stock.reserved'),
        paid: count('payment.captured'),
        shipped: count('order.shipped'),
      },
      troubles: {
        retries: fleet.counted('holdfast_consumer_retries_total'),
        duplicates: fleet.counted('duplicate'),
      },
    });
  }

  for (const { victim, at } of KILLS) {
    const { settled } = await reach((now) => now.settled >= at * orders);
    const pid = await fleet.kill(victim);
    const killedMs = performance.now();
    down = victim;
    const restarted = fleet.start(victim).then(() => (down = undefined));
    await Promise.all([restarted, reach(() => down === undefined)]);
    screen.killed({ victim, part: settled / orders, pid, backAfterMs: performance.now() - killedMs });
  }
  await reach(
    async (now) =>
      now.placed === orders && now.settled >= orders && now.done >= now.due && (await backlog.count()) === 0,
  );
  screen.calm();

  await fleet.stop('relay');
  // The copies of its last batch may still be on their way.
  await reach(async () => (await backlog.count()) === 0);
  screen.calm();
  await Promise.all(SERVICE_NAMES.map((name) => fleet.stop(name)));
}

export class Stalled extends Error {}

function missing({ placed, settled, due, done, parked }: Progress, queued: number, orders: number): string {
  return [
    `Nothing has moved for ${STALLED_MS / 1000} s, and not everything is done:`,
    `${placed} of ${orders} orders placed, ${settled} settled;`,
    `${done} effects of ${due} that are due; ${queued} messages in queues, ${parked} parked.`,
  ].join('\n');
}

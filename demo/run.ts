/**
 * The run itself: watches the orders on their way, has processes killed in the middle, and waits until nothing is left to do.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readBooks, type Databases } from './audit/books.ts';
import { undelivered } from './audit/messages.ts';
import type { Backlog } from './broker.ts';
import type { ProcessName } from './chaos.ts';
import type { Fleet } from './fleet.ts';
import { ended, readProgress, type Progress } from './progress.ts';
import type { Screen } from './screen.ts';
import { INTAKE_OVER, SERVICE_NAMES } from './world.ts';

export interface Run {
  readonly fleet: Fleet;
  readonly databases: Databases;
  readonly backlog: Backlog;
  readonly screen: Screen;
  readonly orders: number;
  readonly relays: readonly ProcessName[];
  readonly workers: readonly ProcessName[];
  /**
   * How old what is shown of the tables may be, in milliseconds: the longer a run, the more there is to count.
   *
   * @defaultValue 250
   */
  readonly pollMs?: number;
  /** What goes wrong on the way. */
  readonly accidents: (tools: AccidentTools) => Promise<void>;
}

/** What accidents are made with. */
export interface AccidentTools extends Pick<Run, 'fleet' | 'screen' | 'orders'> {
  /** No more orders come. */
  readonly isPlaced: (now: Progress) => boolean;
  /** Looks at the tables until they are as wanted. Rejects when nothing moves any more. */
  readonly reach: (goal: (now: Progress) => boolean | Promise<boolean>) => Promise<Progress>;
  /** Shows that something is down; undefined: nothing any more. */
  readonly setDown: (name: string | undefined) => void;
}

const POLL_MS = 250;
/** When nothing at all has changed for so long, nothing will. */
const STALLED_MS = 90_000;
/** Over which the rate that is shown is taken. */
const RATE_OVER_MS = 2_000;

/** Watches until everything is done, and stops all processes then. Rejects with a Stalled when it never is. */
export async function runOrders(run: Run): Promise<void> {
  const { fleet, databases, backlog, screen, orders, relays, workers, accidents, pollMs = POLL_MS } = run;
  let down: string | undefined;
  const rate = createRate();
  const look = shared(() => readProgress(databases), pollMs);

  /** Looks at the tables until they are as wanted. */
  async function reach(goal: (now: Progress) => boolean | Promise<boolean>): Promise<Progress> {
    let last = '';
    let changedMs = performance.now();
    for (;;) {
      const now = await look();
      show(now);
      if (await goal(now)) return now;
      if (JSON.stringify(now) !== last) {
        last = JSON.stringify(now);
        changedMs = performance.now();
      }
      if (performance.now() - changedMs > STALLED_MS) throw new Stalled(missing(now, await backlog.count(), orders));
      await sleep(pollMs);
    }
  }

  function show(now: Progress): void {
    const { placed, fresh, running, waiting, compensating, completed, compensated, stuck } = now;
    const done = ended(now);
    screen.live({
      completed: completed / orders,
      compensated: compensated / orders,
      underWay: (placed - done) / orders,
      runsPerSecond: rate(done),
      down,
      counters: { completed, compensated },
      flow: {
        'under way': fresh + running,
        'waiting for an answer': waiting,
        'being compensated': compensating,
        stuck,
      },
      troubles: {
        kills: fleet.counted('killed'),
        'duplicates dropped': fleet.counted('duplicates'),
        'asked again': fleet.counted('repeated'),
        retries: fleet.counted('retries'),
      },
    });
  }

  const isPlaced = ({ placed }: Progress): boolean => placed >= orders || fleet.counted(INTAKE_OVER) > 0;
  await accidents({ fleet, screen, orders, isPlaced, reach, setDown: (name) => void (down = name) });
  const idle = async ({ runMessages }: Progress): Promise<boolean> =>
    runMessages === 0 && (await backlog.count()) === 0;
  await reach(
    async (now) =>
      isPlaced(now) &&
      ended(now) + now.stuck >= now.placed &&
      (await idle(now)) &&
      undelivered(await readBooks(databases)).length === 0,
  );
  screen.calm();

  await Promise.all(relays.map((name) => fleet.stop(name)));
  // The copies of its last batch may still be on their way.
  await reach(idle);
  screen.calm();
  await Promise.all([...SERVICE_NAMES, ...workers].map((name) => fleet.stop(name)));
}

export class Stalled extends Error {}

/** What all who ask within that time are answered with. */
function shared<T>(read: () => Promise<T>, forMs: number): () => Promise<T> {
  let last: Promise<T> | undefined;
  let readMs = -Infinity;
  return () => {
    if (last !== undefined && performance.now() - readMs < forMs) return last;
    readMs = performance.now();
    last = read();
    return last;
  };
}

/** Ends per second, as far as it has been looked at lately. */
function createRate(): (done: number) => number {
  const seen: { readonly atMs: number; readonly done: number }[] = [];
  return (done) => {
    const atMs = performance.now();
    seen.push({ atMs, done });
    while (seen.length > 2 && atMs - (seen[0]?.atMs ?? 0) > RATE_OVER_MS) seen.shift();
    const first = seen[0];
    return first === undefined || first.atMs === atMs ? 0 : ((done - first.done) * 1_000) / (atMs - first.atMs);
  };
}

function missing(now: Progress, queued: number, orders: number): string {
  return [
    `Nothing has moved for ${STALLED_MS / 1000} s, and not everything is done:`,
    `${now.placed} of ${orders} orders placed, ${ended(now)} at their end, ${now.stuck} stuck;`,
    `${queued} messages in queues, ${now.runMessages} unread, ${now.parked} parked.`,
  ].join('\n');
}

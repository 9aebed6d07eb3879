/**
 * Accidents at random, for as long as orders come in: on one side processes are killed, one after the other, on the other side servers of
 * the broker. What is killed comes back after a while that is drawn as well.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BrokerNode } from './broker-servers.ts';
import type { ProcessName } from './chaos.ts';
import { ended } from './progress.ts';
import type { AccidentTools } from './run.ts';

export interface RandomAccidents {
  /** In [0, 1). */
  readonly random: () => number;
  readonly processes: readonly ProcessName[];
  readonly nodes: readonly BrokerNode[];
  /** Told of each, when it is back. */
  readonly onAccident: (victim: string, downMs: number) => void;
  /** Told when a server of the broker was waited for in vain. It is killed and started once more then, as somebody on call would do. */
  readonly onAbsence: (victim: string, downMs: number, why: string) => void;
}

/**
 * How long something is away, and what comes between its return and the next: a time in milliseconds, and so many orders that come to their
 * end. Without those a slow machine would do nothing but recover.
 */
const PROCESSES = { away: [0, 4_000], quiet: [1_000, 8_000], ends: [4, 25] } as const;
const NODES = { away: [500, 8_000], quiet: [4_000, 20_000], ends: [10, 60] } as const;

interface Victim {
  readonly name: string;
  kill(): Promise<unknown>;
  /** Why it is not part of its cluster yet, though it runs; undefined when all is well. */
  start(): Promise<string | undefined>;
}

export function randomAccidents(options: RandomAccidents): (tools: AccidentTools) => Promise<void> {
  const { random, processes, nodes, onAccident, onAbsence } = options;
  const between = ([least, most]: readonly [number, number]): number => least + random() * (most - least);
  return async ({ fleet, isPlaced, reach, setDown }) => {
    let over = false;
    let endedNow = 0;
    const placed = reach((now) => {
      endedNow = ended(now);
      return isPlaced(now);
    }).finally(() => {
      over = true;
    });
    const down = new Set<string>();
    const show = (): void => setDown(down.size === 0 ? undefined : [...down].join(', '));
    const strike = async (victims: readonly Victim[], times: typeof PROCESSES | typeof NODES): Promise<void> => {
      while (!over && victims.length > 0) {
        // One after the other on each side: what two of three servers have must not be asked of one.
        // oxlint-disable no-await-in-loop
        await sleep(between(times.quiet));
        const enough = endedNow + between(times.ends);
        await reach((now) => over || ended(now) >= enough);
        const victim = victims[Math.floor(random() * victims.length)];
        if (over || victim === undefined) return;
        const killedMs = performance.now();
        await victim.kill();
        down.add(victim.name);
        show();
        await sleep(between(times.away));
        for (let absence = await victim.start(); absence !== undefined; absence = await victim.start()) {
          onAbsence(victim.name, performance.now() - killedMs, absence);
          // The orders are judged without it.
          if (over) return;
          await victim.kill();
        }
        // oxlint-enable no-await-in-loop
        down.delete(victim.name);
        show();
        onAccident(victim.name, performance.now() - killedMs);
      }
    };
    const ofFleet = processes.map((name) => ({
      name,
      kill: () => fleet.kill(name, random() < 0.5 ? 'at work' : 'now'),
      start: () => fleet.start(name).then(() => undefined),
    }));
    const ofBroker = nodes.map((node) => ({
      name: node.name,
      kill: () => node.kill(),
      start: () =>
        node.start().then(
          () => undefined,
          (error: unknown) => String(error),
        ),
    }));
    await Promise.all([placed, strike(ofFleet, PROCESSES), strike(ofBroker, NODES)]);
  };
}

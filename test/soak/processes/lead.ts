/**
 * What all processes of a soak have in common: the wall clock that they may have wrong, the transport, and how they die in the middle of their work.
 */
import { openTransport } from '../../../demo/broker.ts';
import { log } from '../../../demo/processes/link.ts';
import type { Transport } from '../../../src/index.ts';
import { ORDERED_FLOODS } from '../flood/messages.ts';
import type { SoakSettings } from '../setting.ts';

/** Moves the wall clock of this process; clocks that only measure are left as they are. */
export function moveWallClock(aheadMs: number): void {
  if (aheadMs === 0) return;
  const Honest = Date;
  class Moved extends Honest {
    constructor(...given: readonly unknown[]) {
      super(...((given.length === 0 ? [Honest.now() + aheadMs] : given) as []));
    }
    static override now(): number {
      return Honest.now() + aheadMs;
    }
  }
  globalThis.Date = Moved as DateConstructor;
}

/** The destinations of both loads, each in the layout that its consumers have. */
export function openSoakTransport({ broker }: Pick<SoakSettings, 'broker'>): Transport {
  return openTransport(broker, (error) => log.warn({ err: error }, 'transport'), ['orders', ...ORDERED_FLOODS]);
}

/** A process that is to die at work does so when it comes to such a point. */
export interface Death {
  /** From now on the next point of this process is its last. */
  dieAtWork(): void;
  /** Ends the process if it is to. */
  point(name?: string): void;
}

export function createDeath(points?: readonly string[]): Death {
  let wanted: string | undefined;
  let dying = false;
  return {
    dieAtWork() {
      dying = true;
      wanted = points?.[Math.floor(Math.random() * points.length)];
    },
    point(name) {
      if (dying && (wanted === undefined || wanted === name)) process.kill(process.pid, 'SIGKILL');
    },
  };
}

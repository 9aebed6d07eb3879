/**
 * Crash points that count, and one that ends or stops the process. Used inside the child programs.
 */
import type { CrashPoint } from '../../../src/runtime/crash-point.ts';

export interface CrashPlan {
  /** For example `relay.publish:before`. */
  readonly point: string;
  /** 1: the first time it is passed. */
  readonly occurrence: number;
  /** Counted only from when this point was passed. */
  readonly since?: string;
  /** kill: the process dies on the spot. stop: it stands still until SIGCONT. */
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

/** `onFirst` is told of every point when it is passed for the first time. */
export function crashPoints(plan: CrashPlan | null, onFirst: (point: string) => void): CrashPoint {
  const passed = new Set<string>();
  let count = 0;
  return (point) => {
    if (plan !== null && point === plan.point && (plan.since === undefined || passed.has(plan.since))) {
      count += 1;
      // Both signals take effect before kill() returns.
      if (count === plan.occurrence) process.kill(process.pid, plan.signal);
    }
    if (passed.has(point)) return;
    passed.add(point);
    onFirst(point);
  };
}

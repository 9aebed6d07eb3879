/**
 * Crash points that count, and one that ends or stops the process. Used inside the child programs.
 */
import type { CrashPoint } from '../../../src/runtime/crash-point.ts';

export interface CrashPlan {
  /** For example `relay.publish:before`. */
  readonly point: string;
  /** 1: the first time it is passed. */
  readonly occurrence: number;
  /** kill: the process dies on the spot. stop: it stands still until SIGCONT. */
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

/** `onFirst` is told of every point when it is passed for the first time. */
export function crashPoints(plan: CrashPlan | null, onFirst: (point: string) => void): CrashPoint {
  const counts = new Map<string, number>();
  return (point) => {
    const count = (counts.get(point) ?? 0) + 1;
    counts.set(point, count);
    // Both signals take effect before kill() returns.
    if (plan !== null && point === plan.point && count === plan.occurrence) process.kill(process.pid, plan.signal);
    if (count === 1) onFirst(point);
  };
}

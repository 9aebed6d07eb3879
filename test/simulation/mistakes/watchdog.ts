/**
 * A seed that does not end is noticed by the processor time that it takes: on a busy machine the time of a clock says nothing. It is watched
 * from another thread, since whatever does not end may never give the event loop back.
 */
import { Worker } from 'node:worker_threads';

/** More than any seed takes that ends, in seconds of processor time. */
const MOST_S = 30;

export interface Watchdog {
  /** This seed begins. */
  begins(seed: number): void;
}

/** Says which seed it was, as a seed that breaks a promise is said, and kills the process. */
export function watchSeeds(): Watchdog {
  const seeds = new SharedArrayBuffer(8);
  const current = new BigInt64Array(seeds);
  const worker = new Worker(`(${watch.toString()})()`, { eval: true, workerData: { seeds, mostS: MOST_S } });
  worker.unref();
  return { begins: (seed) => void Atomics.store(current, 0, BigInt(seed)) };
}

/** Runs in a thread of its own, from its text alone. */
function watch(): void {
  const { workerData } = process.getBuiltinModule('node:worker_threads');
  const { writeSync } = process.getBuiltinModule('node:fs');
  const { seeds, mostS } = workerData as { readonly seeds: SharedArrayBuffer; readonly mostS: number };
  const current = new BigInt64Array(seeds);
  let seed = Atomics.load(current, 0);
  let since = process.cpuUsage();
  setInterval(() => {
    const now = Atomics.load(current, 0);
    if (now !== seed) {
      seed = now;
      since = process.cpuUsage();
    }
    const { user, system } = process.cpuUsage(since);
    if ((user + system) / 1_000_000 < mostS) return;
    writeSync(1, `seed ${seed}: it does not end\n`);
    process.kill(process.pid, 'SIGKILL');
  }, 500);
}

/**
 * saga.waiting: what runs cost that wait for a signal, 100,000 of them: the memory of their worker, the processor time of worker and server
 * while nothing happens, and how soon one of them goes on. In a process of its own (saga-waiting-process.ts).
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Waited, WaitingSample } from './saga-waiting-process.ts';
import { figure, percentile, round, type Benchmark } from './support/figure.ts';

const WAITING = 'saga.waiting';
/** Growth that counts as flat, in MB: as for the relay. */
const LIMIT_MB = 16;
/** Of worker and server together, in ms a second. */
const LIMIT_IDLE_MS = 20;
/** From the signal to the step after the wait. */
const LIMIT_SIGNAL_MS = 25;

export const sagaWaiting: Benchmark = {
  names: [WAITING],

  async run({ quick, servers, note }) {
    const runs = quick ? 3_000 : 100_000;
    const bench = await servers.database();
    try {
      const { few, all, signalMs } = await wait(bench.url, runs, quick);
      for (const { waiting, heap, rss, idle } of [few, all])
        note(
          `waiting: ${waiting} runs: heap ${mb(heap)} MB, rss ${mb(rss)} MB, idle: worker ${round(idle.worker)} ms/s, ` +
            `server ${idle.server === null ? 'not known' : `${round(idle.server)} ms/s`}`,
        );
      const idle = (sample: WaitingSample): number => sample.idle.worker + (sample.idle.server ?? 0);
      const common = { bench: WAITING, against: 'limit' } as const;
      return [
        figure(
          {
            ...common,
            value: mb(all.rss - few.rss),
            unit: 'MB',
            againstValue: LIMIT_MB,
            target: { atMost: 1 },
          },
          { of: 'rss', heapGrowth: mb(all.heap - few.heap), heap: mb(all.heap), rss: mb(all.rss), runs },
        ),
        figure(
          { ...common, value: idle(all), unit: 'ms/s', againstValue: LIMIT_IDLE_MS, target: { atMost: 1 } },
          {
            of: 'cpu idle',
            worker: round(all.idle.worker),
            server: all.idle.server === null ? null : round(all.idle.server),
            ofATenth: round(idle(few)),
            runs,
          },
        ),
        figure(
          {
            ...common,
            value: percentile(signalMs, 0.5),
            unit: 'ms',
            againstValue: LIMIT_SIGNAL_MS,
            target: { atMost: 1 },
          },
          { of: 'signal', worst: round(Math.max(...signalMs)), signals: signalMs.length, runs },
        ),
      ];
    } finally {
      await bench.drop();
    }
  },
};

function mb(bytes: number): number {
  return Math.round((bytes / 1_048_576) * 10) / 10;
}

async function wait(url: string, runs: number, quick: boolean): Promise<Waited> {
  const child = fork(
    fileURLToPath(new URL('saga-waiting-process.js', import.meta.url)),
    [url, String(runs), quick ? 'quick' : 'full'],
    { execArgv: ['--expose-gc'], stdio: ['ignore', 2, 2, 'ipc'] },
  );
  let waited: Waited | undefined;
  child.on('message', (got) => {
    waited = got as Waited;
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0 || waited === undefined) throw new Error(`the process with the waiting runs ended with ${code}`);
  return waited;
}

/**
 * relay.memory: whether the relay's memory grows with what went through it. A drain of 1,000,000 messages in a process of its own
 * (memory-process.ts), which collects its garbage and looks at itself at every fifth of the way.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { figure, type Benchmark } from './support/figure.ts';
import { fillOutbox } from './support/workload.ts';

const MEMORY = 'relay.memory';

/** After a garbage collection, in bytes. */
export interface Sample {
  readonly drained: number;
  readonly heap: number;
  readonly rss: number;
}

/** Growth that counts as flat, in MB: what the allocator and the compiler need, whatever the number of messages. */
const LIMIT_MB = 16;

export const memory: Benchmark = {
  names: [MEMORY],

  async run({ quick, servers, note }) {
    const messages = quick ? 40_000 : 1_000_000;
    const bench = await servers.database();
    try {
      await fillOutbox(bench.database, messages);
      await bench.settle();
      const samples = await drainElsewhere(bench.url, messages);
      for (const { drained, heap, rss } of samples)
        note(`memory: after ${drained} heap ${mb(heap)} MB, rss ${mb(rss)} MB`);
      const growth = (of: 'heap' | 'rss'): number => {
        const first = samples[0]?.[of] ?? NaN;
        return Math.max(...samples.slice(1).map((sample) => sample[of])) - first;
      };
      return [
        figure(
          {
            bench: MEMORY,
            value: mb(growth('rss')),
            unit: 'MB',
            against: 'limit',
            againstValue: LIMIT_MB,
            target: { atMost: 1 },
          },
          {
            of: 'rss',
            heapGrowth: mb(growth('heap')),
            heap: mb(samples.at(-1)?.heap ?? NaN),
            rss: mb(samples.at(-1)?.rss ?? NaN),
            messages,
          },
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

async function drainElsewhere(url: string, messages: number): Promise<readonly Sample[]> {
  const child = fork(fileURLToPath(new URL('memory-process.js', import.meta.url)), [url, String(messages)], {
    execArgv: ['--expose-gc'],
  });
  let samples: readonly Sample[] = [];
  child.on('message', (got) => {
    samples = got as readonly Sample[];
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0 || samples.length === 0) throw new Error(`the draining process ended with ${String(code)}`);
  return samples;
}

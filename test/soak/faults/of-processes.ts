/**
 * Faults of processes: one at a time is killed, stands still, or is replaced. Those that are to last are not ended.
 */
import { LASTING, WORK_PROCESSES, type WorkProcess } from '../setting.ts';
import { between, pick, type FaultKind, type FaultTools } from './tools.ts';

const MORTAL = WORK_PROCESSES.filter((name) => !LASTING.includes(name));
/** Longer than the leases and the claims of messages, which are five seconds. */
const STANDS_STILL_MS = [6_500, 12_000] as const;
const AWAY_MS = [0, 4_000] as const;
const HOUR_MS = 3_600_000;
const WRONG_CLOCK_FOR_MS = 15_000;

async function kill({ crew, random, pause, show }: FaultTools, when: 'now' | 'at work'): Promise<void> {
  const victim: WorkProcess = pick(random, MORTAL);
  show(victim);
  await crew.fleet.kill(victim, when);
  await pause(between(random, ...AWAY_MS));
  await crew.start(victim);
}

export const OF_PROCESSES: readonly FaultKind[] = [
  { kind: 'process killed', side: 'processes', strike: (tools) => kill(tools, 'now') },
  { kind: 'process killed at work', side: 'processes', strike: (tools) => kill(tools, 'at work') },
  {
    kind: 'process stood still past its lease',
    side: 'processes',
    async strike({ crew, random, pause, show }) {
      const victim = pick(random, WORK_PROCESSES);
      show(`${victim} stands still`);
      crew.fleet.signal(victim, 'SIGSTOP');
      try {
        await pause(between(random, ...STANDS_STILL_MS));
      } finally {
        crew.fleet.signal(victim, 'SIGCONT');
      }
    },
  },
  {
    kind: 'process replaced in good order',
    side: 'processes',
    async strike({ crew, random, show }) {
      const victim = pick(random, MORTAL);
      show(`${victim} is replaced`);
      await crew.stop(victim);
      await crew.start(victim);
    },
  },
  {
    kind: 'wall clock an hour wrong',
    side: 'processes',
    async strike({ crew, random, pause, show }) {
      const victim = pick(random, MORTAL);
      show(`the clock of ${victim} is wrong`);
      await crew.stop(victim);
      await crew.start(victim, { clockAheadMs: random() < 0.5 ? HOUR_MS : -HOUR_MS });
      await pause(WRONG_CLOCK_FOR_MS);
      await crew.stop(victim);
      await crew.start(victim);
    },
  },
];

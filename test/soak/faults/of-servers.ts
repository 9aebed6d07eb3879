/**
 * Faults of PostgreSQL and Redis.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FLOODS } from '../flood/messages.ts';
import { drawPlan, writeFlood } from '../flood/writing.ts';
import { redisFact } from '../servers.ts';
import { DATABASE_NAMES } from '../setting.ts';
import { between, pick, type FaultKind, type FaultTools } from './tools.ts';

/** So long a server is away that is not only restarted. */
const AWAY_MS = [200, 4_000] as const;
const REDIS_STANDS_STILL_MS = [2_000, 7_000] as const;
const FROZEN_MS = [4_000, 15_000] as const;

async function restart({ postgres, random, show }: FaultTools, how: 'fast' | 'immediate'): Promise<void> {
  show('PostgreSQL');
  await postgres.stop(how);
  // Not to be cut short: without it nothing can be judged.
  await sleep(between(random, ...AWAY_MS));
  await postgres.start();
}

/** Sessions of our processes, not of the judge. */
async function endSessions({ databases }: FaultTools, which: string): Promise<void> {
  await databases.sink.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND application_name <> 'soak judge' AND pid <> pg_backend_pid() AND ${which}`,
  );
}

export const OF_SERVERS: readonly FaultKind[] = [
  { kind: 'PostgreSQL crashed', side: 'servers', strike: (tools) => restart(tools, 'immediate') },
  { kind: 'PostgreSQL restarted', side: 'servers', strike: (tools) => restart(tools, 'fast') },
  { kind: 'half of the sessions ended', side: 'servers', strike: (tools) => endSessions(tools, 'random() < 0.5') },
  {
    kind: 'listeners ended, hints lost',
    side: 'servers',
    strike: (tools) => endSessions(tools, `query ILIKE '%listen%' AND state = 'idle'`),
  },
  {
    kind: 'transaction frozen with its locks',
    side: 'servers',
    async strike({ databases, random, pause, show }) {
      show('a transaction is frozen');
      const plan = drawPlan(random, FLOODS);
      const parts = [{ stream: pick(random, plan.flood.streams), messages: 3 }];
      await writeFlood(databases.flood, { ...plan, parts }, () => pause(between(random, ...FROZEN_MS)));
    },
  },
  {
    kind: 'vacuum and checkpoint',
    side: 'servers',
    async strike({ databases, show }) {
      show('vacuum');
      for (const name of DATABASE_NAMES) await databases[name].query('VACUUM (ANALYZE)');
      await databases.sink.query('CHECKPOINT');
    },
  },
  {
    kind: 'Redis killed',
    side: 'servers',
    async strike({ redis, random, show }) {
      show('Redis');
      await redis.kill();
      await sleep(between(random, ...AWAY_MS));
      await redis.start();
    },
  },
  {
    kind: 'Redis stood still',
    side: 'servers',
    async strike({ redis, random, pause, show }) {
      const pid = await redisFact(redis, 'process_id');
      show('Redis stands still');
      process.kill(pid, 'SIGSTOP');
      try {
        await pause(between(random, ...REDIS_STANDS_STILL_MS));
      } finally {
        process.kill(pid, 'SIGCONT');
      }
    },
  },
];

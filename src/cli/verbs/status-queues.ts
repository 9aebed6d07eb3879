/**
 * The part of `holdfast status` about what lies in the broker: in Redis, where one is known, and in the database itself.
 */
import type { Database } from '../../postgres/database.ts';
import { queuesOnPostgres } from '../../operations/doctor/postgres-queues.ts';
import { missingPackage } from '../../runtime/missing-package.ts';
import type { FoundQueue } from '../../transport/bullmq/redis-queues.ts';
import { formatCount } from '../output/format.ts';
import type { Ui } from '../output/report.ts';
import { formatTable } from '../output/table.ts';

export interface QueuesStatus {
  readonly queues: readonly FoundQueue[];
  /** Why they could not be asked. */
  readonly trouble: string | null;
}

const TIMEOUT_MS = 2_000;

/** Null where there are no queues to be known of. */
export async function readQueues(
  database: Database,
  urls: readonly string[],
  prefix: string | undefined,
): Promise<QueuesStatus | null> {
  const [own, redis] = await Promise.all([queuesOnPostgres(database), readRedis(urls, prefix)]);
  if (own.length === 0 && urls.length === 0) return null;
  return { queues: [...redis.queues, ...own], trouble: redis.trouble };
}

/** Never rejects: the rest of the status is of use without it. */
async function readRedis(urls: readonly string[], prefix: string | undefined): Promise<QueuesStatus> {
  if (urls.length === 0) return { queues: [], trouble: null };
  try {
    // Whoever has no Redis need not load what speaks to it.
    const { queuesOnRedis } = await import('../../transport/bullmq/redis-queues.ts');
    const found = await Promise.all(urls.map((url) => queuesOnRedis(url, { prefix, timeoutMs: TIMEOUT_MS })));
    return { queues: found.flatMap(({ queues }) => queues), trouble: null };
  } catch (error) {
    const isMissing = missingPackage(error, ['bullmq', 'ioredis']) !== undefined;
    const said = error instanceof Error ? error.message : String(error);
    return { queues: [], trouble: isMissing ? 'its client is not installed: npm install bullmq ioredis' : said };
  }
}

/** Paragraphs. */
export function formatQueues({ queues, trouble }: QueuesStatus, ui: Ui): readonly string[] {
  const { style } = ui;
  const away = trouble === null ? [] : [` ${style.red('!')} Redis cannot be asked what lies in its queues: ${trouble}`];
  if (queues.length === 0) return away;
  const count = (value: number | null): string => (value === null ? '?' : formatCount(value));
  const table = formatTable(
    queues,
    [
      { title: 'QUEUE', value: ({ destination }) => destination, shrink: 16, paint: style.bold },
      { title: 'WAITING', value: ({ state }) => count(state.waiting), align: 'right' },
      { title: 'ACTIVE', value: ({ state }) => count(state.active), align: 'right' },
      { title: 'DELAYED', value: ({ state }) => count(state.delayed), align: 'right' },
      { title: 'CONNECTED', value: ({ state }) => count(state.consumers), align: 'right' },
    ],
    ui,
  );
  const remarks = queues.flatMap(({ state }) =>
    state.remarks.map(({ what, advice }) => ` ${style.yellow('!')} ${what} ${advice}`),
  );
  return [...away, `In the broker\n${table}`, ...(remarks.length === 0 ? [] : [remarks.join('\n')])];
}

/**
 * The part of `holdfast status` about what lies in the brokers: in Redis, where one is known, in those of the configuration's transports, and
 * in the database itself.
 */
import type { Database } from '../../postgres/database.ts';
import { knownDestinations } from '../../operations/doctor/known-destinations.ts';
import { queuesOnPostgres } from '../../operations/doctor/postgres-queues.ts';
import { missingPackage } from '../../runtime/missing-package.ts';
import type { FoundQueue, Transport } from '../../transport/port.ts';
import { formatCount } from '../output/format.ts';
import type { Ui } from '../output/report.ts';
import { formatTable } from '../output/table.ts';

export interface QueuesStatus {
  readonly queues: readonly FoundQueue[];
  /** Why they could not be asked. */
  readonly trouble: string | null;
}

const TIMEOUT_MS = 2_000;

/** Where queues may lie, apart from the database itself. */
export interface QueuePlaces {
  /** Of the configuration. */
  readonly transports: readonly Transport[];
  readonly redisUrls: readonly string[];
  readonly redisPrefix: string | undefined;
}

/** Null where there are no queues to be known of. */
export async function readQueues(database: Database, places: QueuePlaces): Promise<QueuesStatus | null> {
  const { transports, redisUrls, redisPrefix } = places;
  const asked = transports.filter((transport) => transport.queues !== undefined);
  const known = asked.length === 0 ? [] : await knownDestinations(database);
  const [own, ...found] = await Promise.all([
    queuesOnPostgres(database),
    ...redisUrls.map((url) => readRedis(url, redisPrefix)),
    ...asked.map(async (transport) => readTransport(transport, known)),
  ]);
  if (own.length === 0 && found.length === 0) return null;
  return {
    // The server of --redis-url may be that of a transport as well.
    queues: [...withoutTwins(found.flatMap(({ queues }) => queues)), ...own],
    trouble: found.map(({ trouble }) => trouble).find((each) => each !== null) ?? null,
  };
}

function withoutTwins(queues: readonly FoundQueue[]): readonly FoundQueue[] {
  const seen = new Set<string>();
  return queues.filter((queue) => {
    const what = JSON.stringify(queue);
    if (seen.has(what)) return false;
    seen.add(what);
    return true;
  });
}

/** Never rejects: the rest of the status is of use without it. */
async function readTransport(transport: Transport, known: readonly string[]): Promise<QueuesStatus> {
  try {
    const found = await transport.queues?.({ signal: AbortSignal.timeout(TIMEOUT_MS), known });
    return { queues: found?.queues ?? [], trouble: null };
  } catch (error) {
    return { queues: [], trouble: `${transport.kind}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Never rejects. */
async function readRedis(url: string, prefix: string | undefined): Promise<QueuesStatus> {
  try {
    // Whoever has no Redis need not load what speaks to it.
    const { queuesOnRedis } = await import('../../transport/bullmq/redis-queues.ts');
    const { queues } = await queuesOnRedis(url, { prefix, timeoutMs: TIMEOUT_MS });
    return { queues, trouble: null };
  } catch (error) {
    const isMissing = missingPackage(error, ['bullmq', 'ioredis']) !== undefined;
    const said = error instanceof Error ? error.message : String(error);
    return { queues: [], trouble: isMissing ? 'its client is not installed: npm install bullmq ioredis' : said };
  }
}

/** Paragraphs. */
export function formatQueues({ queues, trouble }: QueuesStatus, ui: Ui): readonly string[] {
  const { style } = ui;
  const away =
    trouble === null ? [] : [` ${style.red('!')} The broker cannot be asked what lies in its queues: ${trouble}`];
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

/**
 * The part of `holdfast status` about what lies in the broker. Loaded where a Redis is known only.
 */
import { type FoundQueue, queuesOnRedis } from '../../transport/bullmq-queues.ts';
import { formatCount } from '../output/format.ts';
import type { Ui } from '../output/report.ts';
import { formatTable } from '../output/table.ts';

export interface QueuesStatus {
  readonly queues: readonly FoundQueue[];
  /** Why they could not be asked. */
  readonly trouble: string | null;
}

const TIMEOUT_MS = 2_000;

/** Never rejects: the rest of the status is of use without it. */
export async function readQueues(urls: readonly string[], prefix: string | undefined): Promise<QueuesStatus> {
  try {
    const found = await Promise.all(urls.map((url) => queuesOnRedis(url, { prefix, timeoutMs: TIMEOUT_MS })));
    return { queues: found.flatMap(({ queues }) => queues), trouble: null };
  } catch (error) {
    return { queues: [], trouble: error instanceof Error ? error.message : String(error) };
  }
}

/** Paragraphs. */
export function formatQueues({ queues, trouble }: QueuesStatus, ui: Ui): readonly string[] {
  const { style } = ui;
  if (trouble !== null) return [` ${style.red('!')} Redis cannot be asked what lies in its queues: ${trouble}`];
  if (queues.length === 0) return [];
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
  return [`In the broker\n${table}`, ...(remarks.length === 0 ? [] : [remarks.join('\n')])];
}

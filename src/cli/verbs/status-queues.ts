/**
 * The part of `holdfast status` about what lies in the brokers.
 */
import type { QueuesStatus } from '../../operations/doctor/read-queues.ts';
import { formatCount } from '../output/format.ts';
import type { Ui } from '../output/report.ts';
import { formatTable } from '../output/table.ts';

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

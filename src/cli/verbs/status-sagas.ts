/**
 * The part of `holdfast status` about sagas: runs, workers, and what nobody runs.
 */
import type { DueRuns, SagaStatus, WorkerStatus } from '../../operations/sagas/saga-status.ts';
import { describeLimits } from '../../operations/sagas/saga-growth.ts';
import { formatCount, formatMs, plural } from '../output/format.ts';
import type { Ui } from '../output/report.ts';
import { formatTable } from '../output/table.ts';
import { formatCounts } from './saga-ls.ts';

/** Paragraphs; none where no saga was ever started and no worker runs. */
export function formatSagas(
  { counts, stuck, due, workers, unrunnable, childless, grown }: SagaStatus,
  ui: Ui,
): readonly string[] {
  const { style } = ui;
  if (counts.counts.length === 0 && workers.length === 0) return [];
  const parts = [`${style.bold('Sagas')}\n${counts.counts.length === 0 ? 'No run yet.' : formatCounts(counts, style)}`];
  if (workers.length > 0) parts.push(formatWorkers(workers, ui));
  const oldest = due.toSorted((a, b) => b.oldestMs - a.oldestMs)[0];
  const troubles = [
    ...stuck.map(
      ({ saga, runs, oldestMs }) =>
        `${style.red('!')} ${saga}: ${plural(runs, 'run is', 'runs are')} stuck and ${runs === 1 ? 'needs' : 'need'} a person, for up to ${formatMs(oldestMs)}: holdfast saga ls --stuck`,
    ),
    ...unrunnable.map(
      (each) =>
        `${style.red('!')} ${each.saga}@${each.version}: no live worker has it; ${describeDue(each)}. Start one with it: holdfast worker --sagas …`,
    ),
    ...childless.map(
      ({ saga, child, runs }) =>
        `${style.red('!')} ${saga}: ${plural(runs, 'child', 'children')} of ${child} ${runs === 1 ? 'has' : 'have'} not ended, and no live worker has that version.`,
    ),
    ...grown.map(
      ({ saga, version, runs, percent, run, limits }) =>
        `${style[percent < 100 ? 'yellow' : 'red']('!')} ${saga}@${version}: ${plural(runs, 'journal is', 'journals are')} half full or more (${describeLimits(limits)}), the fullest ${percent} percent: holdfast saga show ${run}`,
    ),
    ...(oldest === undefined || oldest.oldestMs < LATE_MS || unrunnable.includes(oldest)
      ? []
      : [`${style.yellow('!')} ${oldest.saga}@${oldest.version}: ${describeDue(oldest)}; its workers are behind.`]),
  ];
  if (troubles.length > 0) parts.push(troubles.map((text) => ` ${text}`).join('\n'));
  return parts;
}

/** Due runs are taken up within a second or so. */
const LATE_MS = 10_000;

function describeDue({ runs, atLeast, oldestMs }: DueRuns): string {
  const count = `${atLeast ? 'more than ' : ''}${plural(runs, 'run is', 'runs are')}`;
  return `${count} due, the oldest for ${formatMs(oldestMs)}`;
}

function formatWorkers(workers: readonly WorkerStatus[], ui: Ui): string {
  const { style } = ui;
  return formatTable(
    workers,
    [
      { title: 'WORKER', value: ({ name }) => name, shrink: 16, paint: style.bold },
      {
        title: 'LEASE',
        value: ({ live, leaseMs, draining }) => `${live ? formatMs(leaseMs) : 'over'}${draining ? ', draining' : ''}`,
        align: 'right',
        paint: (cell, { live, draining }) =>
          live ? (draining ? style.yellow(cell) : style.green(cell)) : style.red(cell),
      },
      { title: 'RUNS', value: ({ runs }) => formatCount(runs), align: 'right' },
      { title: 'SAGAS', value: ({ sagas }) => sagas.join(', '), shrink: 12 },
    ],
    ui,
  );
}

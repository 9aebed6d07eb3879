/**
 * `holdfast saga retry | cancel | skip | resolve --all`: one act on all runs that match, as a job. Counts and shows first; acts when --yes is
 * said.
 */
import { HoldfastError } from '../../errors.ts';
import type { RunSelection } from '../../operations/jobs/run-selection.ts';
import { jobActOf, type BulkAct } from '../../operations/jobs/saga-bulk.ts';
import type { JobPlan } from '../../operations/jobs/jobs.ts';
import { formatCount } from '../output/format.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import { formatTable } from '../output/table.ts';
import { numberFlag, textFlag, timeFlag, type Context } from '../verb.ts';
import { actOnMany } from './job.ts';
import { paintStatus, statusesOf } from './saga-ls.ts';

/** Whether all runs are meant that match. Throws HF_CONFIG when neither or both of one run and all are said. */
export function wantsAll(context: Context, name: string | undefined): boolean {
  const all = context.flags['all'] === true;
  if (!all && context.flags['dryRun'] === true) {
    throw new HoldfastError('HF_CONFIG', '--dry-run is for --all.', {
      advice: 'Look at one run with `holdfast saga show`.',
    });
  }
  if (all !== (name !== undefined)) return all;
  throw new HoldfastError('HF_CONFIG', all ? 'Both a run and --all are given.' : 'No run is given.', {
    advice:
      'Give the id or key of a run, or --all with --saga, --error, --since or --until, which first shows what it would meet.',
  });
}

export async function actOnAll(context: Context, act: BulkAct): Promise<VerbReport> {
  const selection: RunSelection = {
    saga: textFlag(context, 'saga'),
    version: numberFlag(context, 'sagaVersion', '--saga-version'),
    error: textFlag(context, 'error'),
    since: timeFlag(context, 'since', '--since'),
    until: timeFlag(context, 'until', '--until'),
    status: statusesOf(context),
  };
  return actOnMany(context, jobActOf(act, selection), formatRunGroups);
}

export function formatRunGroups({ runs }: Pick<JobPlan, 'runs'>, ui: Ui): string {
  const { style } = ui;
  return formatTable(
    runs,
    [
      { title: 'RUNS', value: ({ runs: count }) => formatCount(count), align: 'right' },
      { title: 'SAGA', value: ({ saga, version }) => `${saga}@${version}`, shrink: 12, paint: style.cyan },
      { title: 'STATUS', value: ({ status }) => status, paint: (cell, { status }) => paintStatus(status, style)(cell) },
      { title: 'ERROR', value: ({ error }) => error ?? '-', shrink: 12 },
    ],
    ui,
  );
}

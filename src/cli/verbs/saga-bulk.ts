/**
 * `holdfast saga retry | cancel | skip | resolve --all`: one act on all runs that match. Counts and shows first; acts when --yes is said.
 */
import { HoldfastError } from '../../errors.ts';
import {
  actOnRuns,
  planBulk,
  type BulkAct,
  type BulkPlan,
  type RunSelection,
} from '../../operations/sagas/saga-bulk.ts';
import { formatCount, plural } from '../output/format.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import { formatTable } from '../output/table.ts';
import { actorOf, numberFlag, textFlag, timeFlag, withDatabase, type Context } from '../verb.ts';
import { paintStatus, statusesOf } from './saga-ls.ts';

/** Whether all runs are meant that match. Throws HF_CONFIG when neither or both of one run and all are said. */
export function wantsAll(context: Context, name: string | undefined): boolean {
  const all = context.flags['all'] === true;
  if (all !== (name !== undefined)) return all;
  throw new HoldfastError('HF_CONFIG', all ? 'Both a run and --all are given.' : 'No run is given.', {
    advice:
      'Give the id or key of a run, or --all with --saga, --error, --since or --until, which first shows what it would meet.',
  });
}

const DOES = {
  retry: 'try again',
  cancel: 'have compensated',
  skip: 'leave out what is stuck in',
  resolve: 'resolve',
} as const;

export async function actOnAll(context: Context, act: BulkAct): Promise<VerbReport> {
  const selection: RunSelection = {
    saga: textFlag(context, 'saga'),
    version: numberFlag(context, 'sagaVersion', '--saga-version'),
    error: textFlag(context, 'error'),
    since: timeFlag(context, 'since', '--since'),
    until: timeFlag(context, 'until', '--until'),
    status: statusesOf(context),
  };
  return withDatabase(context, async (database) => {
    const plan = await planBulk(database, act, selection);
    if (context.flags['yes'] !== true || plan.runs === 0) {
      return { json: { dryRun: true, ...plan }, text: (ui) => formatPlan(plan, act, ui) };
    }
    const reason = textFlag(context, 'reason');
    if (reason === undefined) {
      throw new HoldfastError('HF_CONFIG', 'An act on many runs needs a reason.', {
        advice: 'Give --reason; it stands in the audit row of each run.',
      });
    }
    const result = await actOnRuns(database, act, selection, { actor: actorOf(context), reason });
    const passed = Object.entries(result.passedOver);
    return {
      json: result,
      text: ({ style }) =>
        [
          `${style.green('Done:')} ${plural(result.done, 'run')}. Workers carry it out.`,
          ...passed.map(
            ([code, runs]) => `${style.yellow('Passed over:')} ${formatCount(runs)}, which had moved on (${code}).`,
          ),
          style.dim(`In the audit as bulk ${result.bulk}`),
        ].join('\n'),
    };
  });
}

export function formatPlan({ runs, atLeast, groups, sample }: BulkPlan, act: BulkAct, ui: Ui): string {
  const { style } = ui;
  if (runs === 0) return 'No run fits; nothing was done.';
  const table = formatTable(
    groups,
    [
      { title: 'RUNS', value: ({ runs: count }) => formatCount(count), align: 'right' },
      { title: 'SAGA', value: ({ saga, version }) => `${saga}@${version}`, shrink: 12, paint: style.cyan },
      { title: 'STATUS', value: ({ status }) => status, paint: (cell, { status }) => paintStatus(status, style)(cell) },
      { title: 'ERROR', value: ({ error }) => error ?? '-', shrink: 12 },
    ],
    ui,
  );
  return [
    `${style.bold(`Would ${DOES[act.kind]}`)} ${atLeast ? 'more than ' : ''}${plural(runs, 'run')}:`,
    table,
    style.dim(`For example: ${sample.join(', ')}`),
    'Nothing was done: add --yes and --reason.',
  ].join('\n');
}

/**
 * `holdfast import pg-boss | graphile-worker | table`: jobs of another library, or rows of an outbox made by hand, become messages.
 */
import { HoldfastError } from '../../errors.ts';
import type { MapJob } from '../../operations/import/decide.ts';
import { graphileWorkerSource } from '../../operations/import/graphile-worker.ts';
import {
  importJobs,
  planImport,
  type ImportOptions,
  type ImportPlan,
  type ImportReport,
  type LeftJobs,
} from '../../operations/import/import-jobs.ts';
import { ownTableSource } from '../../operations/import/own-table.ts';
import { pgBossSource } from '../../operations/import/pg-boss.ts';
import type { ImportCount } from '../../operations/import/source-rows.ts';
import type { ImportSource } from '../../operations/import/source.ts';
import type { Database } from '../../postgres/database.ts';
import { loadExports } from '../config/load-modules.ts';
import { formatCount, formatTime, plural } from '../output/format.ts';
import type { Ui, VerbReport } from '../output/report.ts';
import { formatTable } from '../output/table.ts';
import { actorOf, numberFlag, textFlag, withDatabase, type Context } from '../verb.ts';

export async function importPgBoss(context: Context): Promise<VerbReport> {
  return runImport(context, (database) => pgBossSource(database, textFlag(context, 'fromSchema')));
}

export async function importGraphileWorker(context: Context): Promise<VerbReport> {
  return runImport(context, (database) => graphileWorkerSource(database, textFlag(context, 'fromSchema')));
}

export async function importTable(context: Context, [table = '']: readonly string[]): Promise<VerbReport> {
  const flag = (name: string): string | undefined => textFlag(context, name);
  return runImport(context, (database) =>
    ownTableSource(database, {
      table,
      schema: flag('fromSchema'),
      id: flag('id'),
      payload: flag('payload'),
      name: flag('name'),
      key: flag('key'),
      due: flag('due'),
      order: flag('order'),
      sent: flag('sent'),
    }),
  );
}

async function runImport(
  context: Context,
  sourceOf: (database: Database) => Promise<ImportSource>,
): Promise<VerbReport> {
  const options = await optionsOf(context);
  return withDatabase(context, async (database) => {
    const source = await sourceOf(database);
    if (context.flags['yes'] !== true || context.flags['dryRun'] === true) {
      const plan = await planImport(database, source, options);
      return { json: { dryRun: true, ...plan }, text: (ui) => formatPlan(plan, ui) };
    }
    const act = { actor: actorOf(context), reason: textFlag(context, 'reason') };
    const report = await importJobs(database, source, options, act);
    return { json: report, text: (ui) => formatReport(report, ui) };
  });
}

async function optionsOf(context: Context): Promise<ImportOptions> {
  const map = textFlag(context, 'map');
  return {
    topics: topicsFlag(context),
    sameNames: context.flags['sameNames'] === true,
    failed: context.flags['failed'] === true,
    map: map === undefined ? undefined : await mapOf(map),
    batch: numberFlag(context, 'batch', '--batch'),
    limit: numberFlag(context, 'limit', '--limit'),
  };
}

/** --topic name=topic, as often as there are any. A name may hold '=', a topic does not. */
function topicsFlag({ flags }: Context): ReadonlyMap<string, string> {
  const given = Array.isArray(flags['topic']) ? (flags['topic'] as readonly string[]) : [];
  return new Map(
    given.map((each) => {
      const [, name, topic] = /^(.+)=([^=]+)$/s.exec(each) ?? [];
      if (name !== undefined && topic !== undefined) return [name, topic] as const;
      throw new HoldfastError('HF_CONFIG', `--topic is ${JSON.stringify(each)}.`, {
        advice: 'Give NAME=TOPIC, such as send-email=email.requested.',
      });
    }),
  );
}

async function mapOf(path: string): Promise<MapJob> {
  const isOne = (value: unknown): value is MapJob => typeof value === 'function';
  const found = await loadExports({
    path,
    folder: process.cwd(),
    what: 'function',
    advice: {
      path: '--map names a module, from the folder in which you are.',
      empty: 'Export one function: (job) => ({ topic }), or null for a job that is to stay.',
    },
    isOne,
  });
  const [only, ...others] = found.keys();
  if (only !== undefined && others.length === 0) return only;
  throw new HoldfastError('HF_CONFIG', `${path} exports several functions.`, {
    advice: 'Export the one that maps jobs.',
  });
}

function formatPlan({ source, counts, looked, examples, left }: ImportPlan, ui: Ui): string {
  const { style } = ui;
  if (counts.length === 0) return `${source} is empty: there is nothing to import.`;
  const table = formatTable(
    examples,
    [
      { title: 'NAME', value: ({ name }) => name, shrink: 12 },
      { title: 'TOPIC', value: ({ topic }) => topic, paint: style.cyan, shrink: 12 },
      { title: 'KEY', value: ({ key }) => key ?? '-', shrink: 8 },
      { title: 'NOT BEFORE', value: ({ due }) => (due === null ? 'at once' : formatTime(due)) },
      { title: 'FOR EXAMPLE', value: ({ ref }) => ref, paint: style.dim, shrink: 12 },
    ],
    ui,
  );
  return [
    `${style.bold(source)}\n${formatCounts(counts, ui)}`,
    ...(examples.length === 0 ? [] : [`${style.bold('Would become')}\n${table}`]),
    ...formatLeft(left, ui),
    `Looked at ${plural(looked, 'job')} one by one. Nothing was changed: do it with --yes.`,
  ].join('\n\n');
}

function formatReport({ source, moved, left, counts }: ImportReport, ui: Ui): string {
  const { style } = ui;
  const rest =
    counts.length === 0 ? `${source} is empty now.` : `${style.bold(`In ${source} now`)}\n${formatCounts(counts, ui)}`;
  return [`${style.green('Moved')} ${plural(moved, 'job')} into the outbox.`, ...formatLeft(left, ui), rest].join(
    '\n\n',
  );
}

const MEANING = {
  waiting: 'to be moved',
  failed: 'given up; moved with --failed',
  busy: 'somebody works on it: stop the workers, or import again later',
  chained: 'waits for another job, or another waits for it: let the library finish these',
  ended: 'over; stays',
};

function formatCounts(counts: readonly ImportCount[], ui: Ui): string {
  return formatTable(
    counts,
    [
      { title: 'NAME', value: ({ name }) => name ?? '-', shrink: 12 },
      { title: 'STATE', value: ({ state }) => state },
      { title: 'JOBS', value: ({ count }) => formatCount(count), align: 'right' },
      { title: '', value: ({ state }) => MEANING[state], paint: ui.style.dim },
    ],
    ui,
  );
}

function formatLeft(left: readonly LeftJobs[], ui: Ui): readonly string[] {
  if (left.length === 0) return [];
  const table = formatTable(
    left,
    [
      { title: 'NAME', value: ({ name }) => name, shrink: 12 },
      { title: 'JOBS', value: ({ count }) => formatCount(count), align: 'right' },
      { title: 'WHY', value: ({ why }) => why, shrink: 20 },
      { title: 'FOR EXAMPLE', value: ({ example }) => example, paint: ui.style.dim, shrink: 12 },
    ],
    ui,
  );
  return [`${ui.style.yellow('These stay:')}\n${table}`];
}

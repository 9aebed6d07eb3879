/**
 * `holdfast saga ls`: runs, newest first.
 */
import { HoldfastError } from '../../errors.ts';
import { redactSummary } from '../../operations/redaction/redact-run.ts';
import { runCounts, sagaHealth, type RunCounts } from '../../operations/sagas/saga-status.ts';
import { assertRunId, RUN_STATUSES, type RunSummary } from '../../operations/sagas/sagas.ts';
import { searchRuns } from '../../operations/sagas/search-runs.ts';
import { writePageCursor } from '../../operations/reads/page-cursor.ts';
import type { Looked } from '../../operations/reads/page-walk.ts';
import type { RunStatus } from '../../saga/journal/events.ts';
import { formatCount, formatMs } from '../output/format.ts';
import { formatLooked, LOOK_FOR } from '../output/looked.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import type { Style } from '../output/style.ts';
import { formatTable, type Column } from '../output/table.ts';
import { errorText } from '../output/timeline-lines.ts';
import { jsonFlag } from '../json-flag.ts';
import { databaseColumn, ofValues, overDatabases, type Said } from '../over.ts';
import { databaseOf, numberFlag, redactorOf, textFlag, timeFlag, type Context } from '../verb.ts';

export async function sagaLs(context: Context): Promise<VerbReport> {
  const limit = numberFlag(context, 'limit', '--limit') ?? 20;
  const filter = {
    saga: textFlag(context, 'saga'),
    version: numberFlag(context, 'sagaVersion', '--saga-version'),
    status: statusesOf(context),
    key: textFlag(context, 'key'),
    stuck: context.flags['stuck'] === true ? true : undefined,
    id: textFlag(context, 'id'),
    parent: textFlag(context, 'parent'),
    startedSince: timeFlag(context, 'since', '--since'),
    startedUntil: timeFlag(context, 'until', '--until'),
    updatedSince: timeFlag(context, 'updatedSince', '--updated-since'),
    updatedUntil: timeFlag(context, 'updatedUntil', '--updated-until'),
    finishedSince: timeFlag(context, 'finishedSince', '--finished-since'),
    finishedUntil: timeFlag(context, 'finishedUntil', '--finished-until'),
    error: textFlag(context, 'error'),
    input: jsonFlag(context, 'input', '--input'),
    cursor: cursorOf(context),
  };
  const filtered = Object.values(filter).some((value) => value !== undefined);
  // A place in one list is none in another.
  if (filter.cursor !== undefined) databaseOf(context);
  const redact = redactorOf(context);
  return overDatabases(
    context,
    async (database) => {
      const [{ runs: found, ...page }, counts, { unrunnable }] = await Promise.all([
        searchRuns(database, { ...filter, limit, lookFor: LOOK_FOR }),
        runCounts(database),
        sagaHealth(database),
      ]);
      const runs = found.map((run) => redactSummary(run, redact));
      const next =
        page.older === null ? null : { ...(runs.length === 0 ? {} : { before: runs.at(-1)?.id }), cursor: page.older };
      return { runs, next, ...page, ...counts, unrunnable };
    },
    { json: (page) => page, text: (said, ui) => formatRuns(said, { filtered, limit }, ui) },
  );
}

/** --before names a run, which is easier to write than a cursor. */
function cursorOf(context: Context): string | undefined {
  const before = textFlag(context, 'before');
  if (before === undefined) return textFlag(context, 'cursor');
  assertRunId(before);
  return writePageCursor({ order: 'id', to: 'older', inclusive: false, key: [before] });
}

interface Page extends RunCounts {
  readonly runs: readonly RunSummary[];
  readonly next: { readonly cursor: string } | null;
  readonly looked: Looked;
}

interface Wanted {
  readonly filtered: boolean;
  readonly limit: number;
}

export function formatRuns(said: readonly Said<Page>[], { filtered, limit }: Wanted, ui: Ui): string {
  const { style } = ui;
  const rows = newestOf(said, limit);
  if (rows.length === 0) {
    const short = said.filter(({ value }) => !value.looked.complete);
    if (short.length > 0) return ['No run fits so far.', ...short.flatMap((each) => furtherLines(each, ui))].join('\n');
    if (filtered)
      return 'No run fits. Without a filter you see the newest there are; no search looks into what is encrypted.';
    return 'No saga has been started yet.\nStart one with sagas.start(tx, …) in a service, or with holdfast saga start.';
  }
  const columns: readonly Column<RunSummary>[] = [
    { title: 'ID', value: ({ id }) => id, paint: style.dim },
    { title: 'SAGA', value: ({ saga, version }) => `${saga}@${version}`, shrink: 12, paint: style.cyan },
    { title: 'KEY', value: ({ key }) => key ?? '-', shrink: 6 },
    { title: 'STATUS', value: statusText, shrink: 11, paint: (cell, { status }) => paintStatus(status, style)(cell) },
    { title: 'STARTED', value: ({ ageMs }) => `${formatMs(ageMs)} ago`, align: 'right', optional: true },
    { title: 'NEXT', value: nextOf, shrink: 8, optional: true },
    { title: 'WHY', value: whyOf, shrink: 12, optional: true },
  ];
  const table = formatTable(rows, [...databaseColumn(rows, ui), ...ofValues(columns)], ui);
  const counts = said.flatMap(({ database, value }) => {
    const text = formatCounts(value, style);
    return text === '' ? [] : [database === null ? text : text.replaceAll(/^/gm, `${database} `)];
  });
  const stuck = rows.some(({ value }) => value.status === 'stuck')
    ? [style.dim('Stuck runs: holdfast saga show ID says what to do.')]
    : [];
  return [table, '', ...counts, ...said.flatMap((each) => furtherLines(each, ui)), ...stuck].join('\n');
}

/** Of several, as many as were asked of one, by when they were started. Pure. */
function newestOf(said: readonly Said<Page>[], limit: number): readonly Said<RunSummary>[] {
  const rows = said.flatMap(({ database, value }) => value.runs.map((run) => ({ database, value: run })));
  return said.length === 1 ? rows : rows.toSorted((a, b) => a.value.ageMs - b.value.ageMs).slice(0, limit);
}

function furtherLines({ database, value: { looked, next } }: Said<Page>, { style }: Ui): readonly string[] {
  const cursor = next?.cursor ?? null;
  const flag = database === null ? '' : ` --database ${database}`;
  const where = database === null ? '' : `${database}: `;
  const at = cursor === null ? null : `${cursor}${flag}`;
  if (!looked.complete) return [style.dim(`${where}${formatLooked(looked, 'runs', at)}`)];
  return at === null ? [] : [style.dim(`${where}More: the same with --cursor ${at}`)];
}

function statusText({ status, reason }: RunSummary): string {
  return reason === null || reason === 'failed' ? status : `${status} (${reason})`;
}

export function paintStatus(status: RunStatus, style: Style): (text: string) => string {
  switch (status) {
    case 'completed':
      return style.green;
    case 'compensated':
    case 'compensating':
      return style.yellow;
    case 'stuck':
      return style.red;
    case 'pending':
    case 'running':
    case 'waiting':
      return style.cyan;
  }
}

/** What it waits for, or who has it. */
function nextOf({ status, worker, wakeAt, updatedAt, quietMs }: RunSummary): string {
  if (status === 'completed' || status === 'compensated') return '-';
  if (status === 'stuck') return 'a person';
  if (worker !== null) return `on ${worker.name ?? 'a lost worker'}`;
  if (wakeAt === null) return 'a signal or reply';
  const leftMs = wakeAt.getTime() - (updatedAt.getTime() + quietMs);
  return leftMs > 0 ? `in ${formatMs(leftMs)}` : 'a worker';
}

function whyOf({ error }: RunSummary): string {
  return error === null ? '' : errorText(error);
}

/** 'place-order: 3 running, 1,204 completed; …'. */
export function formatCounts({ counts, atLeast }: RunCounts, style: Style): string {
  const sagas = [...new Set(counts.map(({ saga }) => saga))];
  const lines = sagas.map((saga) => {
    const own = RUN_STATUSES.flatMap((status) => {
      const found = counts.find((each) => each.saga === saga && each.status === status);
      return found === undefined ? [] : [`${formatCount(found.runs)} ${paintStatus(status, style)(status)}`];
    });
    return `${style.bold(saga)}: ${own.join(', ')}`;
  });
  return [...lines, ...(atLeast ? [style.dim('Of the newest 100,000 runs.')] : [])].join('\n');
}

/** `--status waiting,stuck`. */
export function statusesOf(context: Context): readonly RunStatus[] | undefined {
  const given = textFlag(context, 'status');
  if (given === undefined) return undefined;
  return given.split(',').map((each) => {
    const found = RUN_STATUSES.find((status) => status === each.trim());
    if (found !== undefined) return found;
    throw new HoldfastError('HF_CONFIG', `--status has ${JSON.stringify(each.trim())}.`, {
      advice: `Give some of: ${RUN_STATUSES.join(', ')}; several divided by commas.`,
    });
  });
}

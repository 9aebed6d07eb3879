/**
 * `holdfast find | outbox path`: from a name that a person has in hand to what it is, and the whole way of one message.
 */
import type { SilentDatabase } from '../../operations/databases/ask-each.ts';
import { findAnything, nameToFind, type Findings, type Found } from '../../operations/path/find-anything.ts';
import { messagePath } from '../../operations/path/message-path.ts';
import type { MessagePath, PathStep } from '../../operations/path/path-model.ts';
import { pathOver } from '../../operations/path/path-over.ts';
import { describeFailure } from '../../runtime/describe-failure.ts';
import { explainDatabaseError } from '../database-error.ts';
import { EXIT, exitCodeOf } from '../exit-codes.ts';
import { formatCount, formatMs, formatTime, oneLine } from '../output/format.ts';
import { LOOK_FOR } from '../output/looked.ts';
import { formatFailure, type VerbReport, type Ui } from '../output/report.ts';
import { formatFacts, formatTable, type Column } from '../output/table.ts';
import { areSeveral, databaseColumn, ofValues, overDatabases, type Said } from '../over.ts';
import { databaseOf, textFlag, withDatabase, withDatabases, type Context } from '../verb.ts';

export async function find(context: Context, [text = '']: readonly string[]): Promise<VerbReport> {
  const cursor = textFlag(context, 'cursor');
  // A place in one log is none in another.
  if (cursor !== undefined) databaseOf(context);
  nameToFind(text);
  return overDatabases(context, (database) => findAnything(database, text, { lookFor: LOOK_FOR, cursor }), {
    json: (findings) => findings,
    text: (said, ui) => formatFindings(text.trim(), said, ui),
    exitCode: (all) => (all.some(({ found }) => found.length > 0) ? EXIT.ok : EXIT.usage),
  });
}

function formatFindings(text: string, said: readonly Said<Findings>[], ui: Ui): string {
  const { style } = ui;
  const rowsOf = (list: 'found' | 'similar'): readonly Said<Found>[] =>
    said.flatMap(({ database, value }) => value[list].map((each) => ({ database, value: each })));
  const [found, similar] = [rowsOf('found'), rowsOf('similar')];
  const parts: string[] = [];
  if (found.length > 0) parts.push(formatFound(found, ui));
  else parts.push(`${style.yellow('Nothing')} is named ${style.bold(oneLine(text, 100))}.`);
  // Of several, what one has is beside the point of what else to try in another.
  if (similar.length > 0 && (found.length === 0 || said.length === 1)) parts.push(formatFound(similar, ui));
  const advice = said.find(({ value }) => value.similar.length === similar.length)?.value.advice ?? null;
  if (found.length === 0 && advice !== null) parts.push(advice);
  const [newest] = [...found, ...similar];
  if (newest !== undefined)
    parts.push(
      style.dim(
        `Look at it: ${newest.value.show}${newest.value.show.startsWith('holdfast outbox path ') ? '' : flagFor(newest)}`,
      ),
    );
  for (const each of said) parts.push(...furtherLines(each, ui));
  return parts.join('\n\n');
}

/** Where it is possible to look further back. */
function furtherLines(said: Said<Findings>, { style }: Ui): readonly string[] {
  const { looked, further } = said.value;
  if (further === null) return [];
  const back = looked.reached === null ? '' : `, back to ${formatTime(looked.reached)}`;
  const far = looked.complete
    ? 'More messages have it'
    : `Keys and correlation ids were looked for in ${formatCount(looked.rows)} messages${back}`;
  const where = said.database === null ? '' : `${said.database}: `;
  return [style.dim(`${where}${far}: the same with --cursor ${further}${flagFor(said)}`)];
}

function flagFor({ database }: Said<unknown>): string {
  return database === null ? '' : ` --database ${database}`;
}

function formatFound(found: readonly Said<Found>[], ui: Ui): string {
  const { style } = ui;
  const columns: readonly Column<Found>[] = [
    { title: 'WHAT', value: ({ kind }) => kind, paint: style.bold },
    { title: 'ID', value: ({ id }) => id },
    { title: 'NAME', value: ({ name }) => name, shrink: 12, paint: style.cyan },
    { title: 'KEY', value: ({ key }) => key ?? '-', shrink: 6 },
    { title: 'BY', value: ({ by }) => by, optional: true },
    { title: 'STATE', value: ({ state }) => state ?? '-', shrink: 8, optional: true },
    { title: 'WHEN', value: ({ at }) => (at === null ? '-' : formatTime(at)), optional: true },
  ];
  return formatTable(found, [...databaseColumn(found, ui), ...ofValues(columns)], ui);
}

export async function outboxPath(context: Context, [id = '']: readonly string[]): Promise<VerbReport> {
  if (!areSeveral(context)) {
    const path = await withDatabase(context, (database) => messagePath(database, id));
    return { json: path, text: (ui) => formatPath(path, ui) };
  }
  const { path, silent } = await withDatabases(context, (databases) => pathOver(databases, id));
  const failures = silent.map(({ database, error }) => ({ database, error: explainDatabaseError(error) }));
  const [first] = failures;
  return {
    json: { ...path, silent: failures.map(({ database, error }) => ({ database, error: describeFailure(error) })) },
    text: (ui) => [formatPath(path, ui), ...failures.map((each) => formatSilent(each, ui))].join('\n\n'),
    exitCode: first === undefined ? EXIT.ok : exitCodeOf(first.error),
  };
}

function formatSilent({ database, error }: SilentDatabase, ui: Ui): string {
  return `${ui.style.bold(database)} did not answer, so what it knows is missing.\n${formatFailure(error, ui)}`;
}

function formatPath(path: MessagePath, ui: Ui): string {
  const { style } = ui;
  const { message } = path;
  const flag = flagFor({ database: path.database ?? null, value: null });
  const facts: (readonly [string, string])[] = [['message', style.bold(path.id)]];
  if (path.database !== undefined) facts.push(['database', path.database]);
  if (message !== null) {
    facts.push(['topic', style.cyan(message.topic)], ['key', message.key ?? '- (no order)']);
    facts.push(['seq', `${message.seq}, lane ${message.lane}, transaction ${message.xid}`]);
    facts.push(['written', formatTime(message.createdAt)]);
    if (message.correlationId !== null) facts.push(['correlation', message.correlationId]);
  }
  const parts = [formatFacts(facts, style), formatSteps(path.steps, ui)];
  if (!path.ledComplete) parts.push(style.dim('It led to more than is listed.'));
  const runId = path.sender?.runId ?? path.answer?.runId;
  const parked = path.steps.find(({ trouble, kind }) => trouble && (kind === 'relay' || kind === 'consumer'));
  const verbs = [
    ...(runId === undefined ? [] : [`its run: holdfast saga show ${runId}`]),
    ...(message === null ? [] : [`its payload: holdfast outbox show ${path.id}${flag}`]),
    ...(parked === undefined
      ? []
      : [
          `what is parked: holdfast parked show ${path.id}${flagFor({ database: parked.database ?? null, value: null })}`,
        ]),
  ];
  if (verbs.length > 0) parts.push(style.dim(verbs.join('\n')));
  return parts.join('\n\n');
}

const MARKS: Readonly<Record<PathStep['kind'], string>> = {
  cause: '↑',
  written: '●',
  relay: '→',
  replay: '↻',
  consumer: '✔',
  participant: '✔',
  led: '↓',
  run: '◆',
};

/** A line for each step: when, since the one before, and what. Ids take a line of their own where they are wanted for the next look. */
function formatSteps(steps: readonly PathStep[], { style }: Ui): string {
  const offsets = steps.map(({ sinceWrittenMs }) => (sinceWrittenMs === null ? '' : offset(sinceWrittenMs)));
  const took = steps.map(({ afterMs }) => (afterMs === null || afterMs < 1 ? '' : `(${formatMs(afterMs)})`));
  const [first, second] = [offsets, took].map((texts) => Math.max(...texts.map((text) => text.length)));
  return steps
    .map(({ kind, who, text, trouble, database }, index) => {
      const mark = trouble ? style.red(kind === 'written' ? MARKS.written : '✘') : style.green(MARKS[kind]);
      const time = `${(offsets[index] ?? '').padStart(first ?? 0)} ${style.dim((took[index] ?? '').padEnd(second ?? 0))}`;
      const where = database === undefined ? '' : `${style.cyan(`[${database}]`)} `;
      return `${time} ${mark} ${where}${style.bold(who)} ${oneLine(text, 300)}`;
    })
    .join('\n');
}

function offset(ms: number): string {
  return `${ms < 0 ? '-' : '+'}${formatMs(Math.abs(ms))}`;
}

/**
 * `holdfast find | outbox path`: from a name that a person has in hand to what it is, and the whole way of one message.
 */
import { findAnything, type Findings, type Found } from '../../operations/path/find-anything.ts';
import { messagePath } from '../../operations/path/message-path.ts';
import type { MessagePath, PathStep } from '../../operations/path/path-model.ts';
import { EXIT } from '../exit-codes.ts';
import { formatCount, formatMs, formatTime, oneLine } from '../output/format.ts';
import { LOOK_FOR } from '../output/looked.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import { formatFacts, formatTable } from '../output/table.ts';
import { textFlag, withDatabase, type Context } from '../verb.ts';

export async function find(context: Context, [text = '']: readonly string[]): Promise<VerbReport> {
  const cursor = textFlag(context, 'cursor');
  const findings = await withDatabase(context, (database) =>
    findAnything(database, text, { lookFor: LOOK_FOR, cursor }),
  );
  return {
    json: findings,
    text: (ui) => formatFindings(findings, ui),
    exitCode: findings.found.length === 0 ? EXIT.usage : EXIT.ok,
  };
}

function formatFindings({ text, found, similar, looked, further, advice }: Findings, ui: Ui): string {
  const { style } = ui;
  const parts: string[] = [];
  if (found.length > 0) parts.push(formatFound(found, ui));
  else parts.push(`${style.yellow('Nothing')} is named ${style.bold(oneLine(text, 100))}.`);
  if (similar.length > 0) parts.push(formatFound(similar, ui));
  if (advice !== null) parts.push(advice);
  const newest = [...found, ...similar][0];
  if (newest !== undefined) parts.push(style.dim(`Look at it: ${newest.show}`));
  if (further !== null) {
    const back = looked.reached === null ? '' : `, back to ${formatTime(looked.reached)}`;
    const far = looked.complete
      ? 'More messages have it'
      : `Keys and correlation ids were looked for in ${formatCount(looked.rows)} messages${back}`;
    parts.push(style.dim(`${far}: the same with --cursor ${further}`));
  }
  return parts.join('\n\n');
}

function formatFound(found: readonly Found[], ui: Ui): string {
  const { style } = ui;
  return formatTable(
    found,
    [
      { title: 'WHAT', value: ({ kind }) => kind, paint: style.bold },
      { title: 'ID', value: ({ id }) => id },
      { title: 'NAME', value: ({ name }) => name, shrink: 12, paint: style.cyan },
      { title: 'KEY', value: ({ key }) => key ?? '-', shrink: 6 },
      { title: 'BY', value: ({ by }) => by, optional: true },
      { title: 'STATE', value: ({ state }) => state ?? '-', shrink: 8, optional: true },
      { title: 'WHEN', value: ({ at }) => (at === null ? '-' : formatTime(at)), optional: true },
    ],
    ui,
  );
}

export async function outboxPath(context: Context, [id = '']: readonly string[]): Promise<VerbReport> {
  const path = await withDatabase(context, (database) => messagePath(database, id));
  return { json: path, text: (ui) => formatPath(path, ui) };
}

function formatPath(path: MessagePath, ui: Ui): string {
  const { style } = ui;
  const { message } = path;
  const facts: (readonly [string, string])[] = [['message', style.bold(path.id)]];
  if (message !== null) {
    facts.push(['topic', style.cyan(message.topic)], ['key', message.key ?? '- (no order)']);
    facts.push(['seq', `${message.seq}, lane ${message.lane}, transaction ${message.xid}`]);
    facts.push(['written', formatTime(message.createdAt)]);
    if (message.correlationId !== null) facts.push(['correlation', message.correlationId]);
  }
  const parts = [formatFacts(facts, style), formatSteps(path.steps, ui)];
  if (!path.ledComplete) parts.push(style.dim('It led to more than is listed.'));
  const runId = path.sender?.runId ?? path.answer?.runId;
  const verbs = [
    ...(runId === undefined ? [] : [`its run: holdfast saga show ${runId}`]),
    ...(message === null ? [] : [`its payload: holdfast outbox show ${path.id}`]),
    ...(path.steps.some(({ trouble, kind }) => trouble && (kind === 'relay' || kind === 'consumer'))
      ? [`what is parked: holdfast parked show ${path.id}`]
      : []),
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
    .map(({ kind, who, text, trouble }, index) => {
      const mark = trouble ? style.red(kind === 'written' ? MARKS.written : '✘') : style.green(MARKS[kind]);
      const time = `${(offsets[index] ?? '').padStart(first ?? 0)} ${style.dim((took[index] ?? '').padEnd(second ?? 0))}`;
      return `${time} ${mark} ${style.bold(who)} ${oneLine(text, 300)}`;
    })
    .join('\n');
}

function offset(ms: number): string {
  return `${ms < 0 ? '-' : '+'}${formatMs(Math.abs(ms))}`;
}

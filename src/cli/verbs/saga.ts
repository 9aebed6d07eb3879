/**
 * `holdfast saga show | history`: one run, as a timeline or as its journal.
 */
import { tellEncrypted } from '../../message/encrypted-value.ts';
import { redactJournal, redactRun } from '../../operations/redaction/redact-run.ts';
import { adviseStuck } from '../../operations/sagas/saga-advice.ts';
import { findRunId } from '../../operations/sagas/find-run.ts';
import { foldTimeline } from '../../operations/sagas/saga-timeline.ts';
import { describeLimits } from '../../operations/sagas/saga-growth.ts';
import { readJournal, showRun, type RunDetails } from '../../operations/sagas/sagas.ts';
import type { JournalEvent, JournalRow } from '../../saga/journal/events.ts';
import { formatMs, oneLine, plural } from '../output/format.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import type { Style } from '../output/style.ts';
import { formatTable } from '../output/table.ts';
import { formatTimeline } from '../output/timeline.ts';
import { paintStatus } from './saga-ls.ts';
import { inDatabase, inWhichever } from '../over.ts';
import { redactorOf, textFlag, type Context } from '../verb.ts';

export async function sagaShow(context: Context, [name = '']: readonly string[]): Promise<VerbReport> {
  const { database, value: stored } = await inWhichever(context, async (each) =>
    showRun(each, await findRunId(each, name, textFlag(context, 'saga'))),
  );
  const found = redactRun(stored, redactorOf(context));
  const { id } = found.run;
  const { run, journal, now, sent } = found;
  const { stuck, ...timeline } = foldTimeline({ status: run.status, rows: journal, now, sent: sent.messages });
  return {
    json: {
      ...inDatabase(database),
      ...found,
      timeline: {
        ...timeline,
        stuck: stuck === null ? null : { ...stuck, advice: adviseStuck(id, stuck.why, stuck.call) },
      },
    },
    text: (ui) => `${database === null ? '' : `In ${ui.style.bold(database)}:\n`}${formatRun(found, ui)}`,
  };
}

function formatRun(found: RunDetails, ui: Ui): string {
  const { run, journal, runMessages, children, sent, fill, restarts, now } = found;
  const { style } = ui;
  const parts = [formatTimeline({ run, rows: journal, now }, ui)];
  if (restarts.of !== null) parts.push(`Started in place of ${restarts.of}.`);
  if (restarts.as !== null) {
    const key = restarts.keyGone === null ? '' : `, which has its key ${oneLine(restarts.keyGone, 60)} now`;
    parts.push(`${style.yellow('Started once more')} as ${restarts.as}${key}.`);
  }
  if (children.length > 0) {
    const table = formatTable(
      children,
      [
        { title: 'CHILD', value: ({ id }) => id, paint: style.dim },
        { title: 'SAGA', value: ({ saga, version }) => `${saga}@${version}`, shrink: 12, paint: style.cyan },
        { title: 'OF CALL', value: ({ parent }) => parent?.call ?? '-', shrink: 10 },
        {
          title: 'STATUS',
          value: ({ status }) => status,
          paint: (cell, { status }) => paintStatus(status, style)(cell),
        },
      ],
      ui,
    );
    parts.push(table);
  }
  if (sent.messages.length + sent.startedWith.length > 0) parts.push(formatSent(sent, ui));
  if (fill.percent > 0 && run.finishedAt === null) {
    const paint = fill.percent < 100 ? style.yellow : style.red;
    parts.push(
      `${paint('!')} Its journal has ${plural(fill.events, 'event')} and ${plural(fill.bytes, 'byte')}, ${fill.percent} percent or more of what its workers allow (${describeLimits(fill.limits)}). A full one makes no more calls.`,
    );
  }
  if (runMessages.length > 0) {
    const kinds = runMessages.map(
      ({ kind, at }) => `${kind} ${style.dim(`(${formatMs(Math.max(0, now - at.getTime()))} ago)`)}`,
    );
    parts.push(`${plural(runMessages.length, 'thing')} came in and no worker has taken it up yet: ${kinds.join(', ')}`);
  }
  return parts.join('\n\n');
}

/** More messages than these are not listed: --json has them all. */
const LISTED = 20;

function formatSent({ messages, startedWith, complete }: RunDetails['sent'], ui: Ui): string {
  const { style } = ui;
  const listed = [
    ...startedWith.map((message) => ({ ...message, what: 'written with its start' })),
    ...messages.map((message) => ({
      ...message,
      what: `${message.role === 'compensation' ? 'compensates' : 'sent by'} ${message.call ?? 'the run'}`,
    })),
  ];
  const table = formatTable(
    listed.slice(0, LISTED),
    [
      { title: 'MESSAGE', value: ({ id }) => id, paint: style.dim },
      { title: 'TOPIC', value: ({ topic }) => topic, shrink: 12, paint: style.cyan },
      { title: 'WHAT', value: ({ what }) => what, shrink: 12 },
    ],
    ui,
  );
  const more = listed.length > LISTED || !complete ? [style.dim('There are more: --json has up to 1000.')] : [];
  return [table, ...more, style.dim('What came of each: holdfast outbox path ID')].join('\n');
}

export async function sagaHistory(context: Context, [name = '']: readonly string[]): Promise<VerbReport> {
  const { database, value } = await inWhichever(context, async (each) => {
    const found = await findRunId(each, name, textFlag(context, 'saga'));
    return { id: found, stored: await readJournal(each, found) };
  });
  const { id, stored } = value;
  const rows = redactJournal(stored, redactorOf(context));
  return { json: { ...inDatabase(database), id, rows }, text: ({ style }) => formatHistory(rows, style) };
}

/** A line for each event: row, time since the start, what, and its facts as JSON. */
export function formatHistory(rows: readonly JournalRow[], style: Style): string {
  const start = rows[0]?.at ?? 0;
  const numbers = String(rows.at(-1)?.n ?? 0).length;
  const offsets = rows.map(({ at }) => `+${formatMs(Math.max(0, at - start))}`);
  const width = Math.max(...offsets.map((text) => text.length));
  return rows
    .flatMap(({ n, events }, place) =>
      events.map((event, index) => {
        const head = index === 0 ? [String(n), offsets[place] ?? ''] : ['', ''];
        return `${style.dim(`${(head[0] ?? '').padStart(numbers)}  ${(head[1] ?? '').padStart(width)}`)}  ${formatEvent(event, style)}`;
      }),
    )
    .join('\n');
}

const PAINT: Partial<Record<JournalEvent['t'], keyof Style>> = {
  done: 'green',
  completed: 'green',
  compensated: 'green',
  failed: 'red',
  stuck: 'red',
  'compensation failed': 'red',
  undoing: 'yellow',
  undone: 'yellow',
  'attempt failed': 'yellow',
};

function formatEvent(event: JournalEvent, style: Style): string {
  const { t, ...facts } = event;
  const call = 'call' in event && event.call !== undefined ? ` ${style.bold(event.call)}` : '';
  const rest = Object.fromEntries(Object.entries(facts).filter(([name]) => name !== 'call'));
  const paint = PAINT[t];
  const shown =
    Object.keys(rest).length === 0 ? '' : `  ${style.dim(oneLine(JSON.stringify(rest, tellEncrypted), 400))}`;
  return `${paint === undefined ? t : style[paint](t)}${call}${shown}`;
}

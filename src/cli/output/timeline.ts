/**
 * A run drawn as a timeline: the way forward, then the way back, a line for each call. Pure.
 */
import { tellEncrypted } from '../../message/encrypted-value.ts';
import { adviseStuck } from '../../operations/sagas/saga-advice.ts';
import type { Timeline, TimelineNote } from '../../operations/sagas/saga-timeline-model.ts';
import { foldTimeline } from '../../operations/sagas/saga-timeline.ts';
import type { RunSummary } from '../../operations/sagas/sagas.ts';
import type { JournalRow } from '../../saga/journal/events.ts';
import { formatMs, formatTime, oneLine, plural } from './format.ts';
import type { Ui } from './report.ts';
import {
  callLine,
  errorText,
  momentText,
  noteLine,
  remainingLine,
  compensationLine,
  type Line,
  type Paint,
} from './timeline-lines.ts';

export interface TimelineView {
  readonly run: RunSummary;
  readonly rows: readonly JournalRow[];
  /** Milliseconds since the epoch, on the database's clock. */
  readonly now: number;
  /** Whether a step declares how it is compensated, where that is known. */
  readonly undoable?: ((step: string) => boolean) | undefined;
}

/** Longer lines are hard to read. */
const MOST_COLUMNS = 100;
/** What outcomes keep, however long the names are. */
const LEAST_OUTCOME = 24;
const MOST_NAME = 36;

export function formatTimeline({ run, rows, now, undoable }: TimelineView, ui: Ui): string {
  const story = foldTimeline({ status: run.status, rows, now, undoable });
  const width = Math.min(ui.width, MOST_COLUMNS);
  const notes = (compensating: boolean): readonly TimelineNote[] =>
    story.notes.filter(
      (note) => note.compensating === compensating && !(note.event.t === 'stuck' && note.at === story.stuck?.at),
    );
  const forward = merge(
    story.calls.map((call) => callLine(call, { now })),
    notes(false),
  );
  const back = merge(
    story.compensations.map((compensation) => compensationLine(compensation, now)),
    notes(true),
  );
  const left = story.remaining.map((call) => remainingLine(call));
  const pen = createPen([...forward, ...back, ...left], story.startedAt, width, ui);

  const parts = [header(run, story, now, ui)];
  parts.push(
    forward.length === 0 ? ui.style.dim('Nothing has been called yet.') : [pen.titles, ...pen.draw(forward)].join('\n'),
  );
  if (story.compensating !== null) {
    const turn = turnText(story.compensating, story.endedAt !== null);
    parts.push(
      [pen.text(story.compensating.at, ui.style.yellow('↶'), turn), ...pen.draw([...back, ...left])].join('\n'),
    );
  }
  if (story.result !== undefined && run.status === 'completed') {
    parts.push(`${ui.style.dim('result')}  ${oneLine(JSON.stringify(story.result, tellEncrypted), width - 8)}`);
  }
  if (story.stuck !== null) parts.push(stuckText(run, story.stuck, { now, width, style: ui.style }));
  return parts.join('\n\n');
}

function header(run: RunSummary, story: Timeline, now: number, { style }: Ui): string {
  const paint: Record<RunSummary['status'], (text: string) => string> = {
    pending: style.dim,
    running: style.cyan,
    waiting: style.cyan,
    compensating: style.yellow,
    completed: style.green,
    compensated: style.yellow,
    stuck: style.red,
  };
  const end = story.endedAt ?? run.finishedAt?.getTime() ?? null;
  const reason = run.reason === null ? '' : ` (${run.reason})`;
  const status = `${paint[run.status](style.bold(run.status === 'stuck' ? 'STUCK' : run.status))}${reason}`;
  const since = `started ${formatTime(run.startedAt)}`;
  const facts =
    end === null
      ? [status, `${since} (${formatMs(Math.max(0, now - story.startedAt))} ago)`]
      : [`${status} in ${formatMs(Math.max(0, end - story.startedAt))}`, since];
  const more = [
    ...(run.key === null ? [] : [`key ${oneLine(run.key, 60)}`]),
    ...(run.pivoted ? ['past its pivot'] : []),
    ...(run.worker === null ? [] : [`on ${oneLine(run.worker.name ?? 'a worker that is gone', 40)}`]),
    ...(run.parent === null ? [] : [`child of ${run.parent.id}`]),
    ...(run.lost === 0 ? [] : [`lost ${plural(run.lost, 'worker')}`]),
    ...(run.deadlineAt === null || end !== null ? [] : [`deadline ${momentText(run.deadlineAt.getTime(), now)}`]),
  ];
  const join = style.dim(' · ');
  return [
    `${style.bold(`${run.saga}@${run.version}`)}  ${style.dim(run.id)}`,
    facts.join(join),
    ...(more.length === 0 ? [] : [more.join(join)]),
  ].join('\n');
}

function turnText({ reason, error, actor }: NonNullable<Timeline['compensating']>, over: boolean): string {
  const why = error === null ? '' : `: ${errorText(error)}`;
  const because = {
    failed: 'it failed',
    cancelled: actor === null ? 'it was cancelled' : `${actor} cancelled it`,
    'timed out': 'its time was up',
  };
  return `${over ? 'compensated' : 'to be compensated'} because ${because[reason]}${why}`;
}

function stuckText(
  run: RunSummary,
  { at, why, call, error }: NonNullable<Timeline['stuck']>,
  { now, width, style }: { readonly now: number; readonly width: number; readonly style: Ui['style'] },
): string {
  const { meaning, ways } = adviseStuck(run.id, why, call);
  const head = `STUCK for ${formatMs(Math.max(0, now - at))}. ${meaning} ${errorText(error)}`;
  return [
    ...wrap(head, width - 2).map((line, index) => `${index === 0 ? style.red('■') : ' '} ${style.red(line)}`),
    ...ways.flatMap(({ when, command }, index) => [
      style.dim(`  ${index === 0 ? '→' : ' '} ${index === 0 ? '' : 'or '}${when}:`),
      `      ${style.bold(command)}`,
    ]),
  ].join('\n');
}

/** Notes at their places between the lines. */
function merge(lines: readonly Line[], notes: readonly TimelineNote[]): readonly Line[] {
  const at = (place: number): readonly Line[] => notes.filter(({ after }) => after === place).map(noteLine);
  return [...at(0), ...lines.flatMap((line, index) => [line, ...at(index + 1)])];
}

interface Pen {
  readonly titles: string;
  draw(lines: readonly Line[]): readonly string[];
  /** A line without columns. */
  text(at: number, glyph: string, text: string): string;
}

/** The columns are those of all lines together, so that the way back stands under the way forward. */
function createPen(lines: readonly Line[], startedAt: number, width: number, { style }: Ui): Pen {
  const calls = lines.filter(({ name }) => name !== null);
  const longest = (title: string, texts: readonly string[]): number =>
    Math.max(title.length, ...texts.map((text) => text.length));
  const offset = (at: number | null): string => (at === null ? '' : offsetText(at - startedAt));
  const triesOf = ({ tries }: Line): string => (tries > 1 ? `×${tries}` : '');
  const widths = {
    at: longest(
      'AT',
      lines.map(({ at }) => offset(at)),
    ),
    name: Math.min(
      MOST_NAME,
      longest(
        'CALL',
        calls.map(({ name }) => name ?? ''),
      ),
    ),
    kind: longest(
      'KIND',
      calls.map(({ kind }) => kind),
    ),
    took: longest(
      'TOOK',
      calls.map(({ took }) => took),
    ),
    tries: Math.max(0, ...calls.map((line) => triesOf(line).length)),
  };
  // Offset, bracket and glyph, then the text.
  const margin = widths.at + 6;
  const before =
    margin + widths.name + 2 + widths.kind + 2 + widths.took + 2 + (widths.tries === 0 ? 0 : widths.tries + 2);
  const room = Math.max(LEAST_OUTCOME, width - before);
  const color = (paint: Paint) => (paint === 'plain' ? (text: string) => text : style[paint]);

  function drawOne(line: Line, bracket: Bracket): readonly string[] {
    const { at, glyph, paint, name, kind, took, outcome } = line;
    const head = `${style.dim(offset(at).padStart(widths.at))}  ${style.dim(bracket.first)} ${color(paint)(glyph)} `;
    const next = `${' '.repeat(widths.at)}  ${style.dim(bracket.rest)}   `;
    if (name === null) {
      return wrap(outcome, width - margin).map((text, index) => (index === 0 ? head : next) + style.dim(text));
    }
    const tries = widths.tries === 0 ? '' : `${style.yellow(triesOf(line).padStart(widths.tries))}  `;
    const cells = `${style.bold(oneLine(name, widths.name).padEnd(widths.name))}  ${style.dim(kind.padEnd(widths.kind))}  ${took.padStart(widths.took)}  ${tries}`;
    const tail = ' '.repeat(before - margin);
    return wrap(outcome, room).map(
      (text, index) => (index === 0 ? head + cells : next + tail) + color(paint === 'green' ? 'plain' : paint)(text),
    );
  }

  return {
    titles: style.dim(
      `${'AT'.padStart(widths.at)}      ${'CALL'.padEnd(widths.name)}  ${'KIND'.padEnd(widths.kind)}  ${'TOOK'.padStart(widths.took)}  ${widths.tries === 0 ? '' : ' '.repeat(widths.tries + 2)}OUTCOME`,
    ),
    draw: (some) => some.flatMap((line, index) => drawOne(line, bracketOf(some, index))),
    text: (at, glyph, text) =>
      `${style.dim(offset(at).padStart(widths.at))}    ${glyph} ${style.bold(oneLine(text, width - margin))}`,
  };
}

interface Bracket {
  readonly first: string;
  readonly rest: string;
}

/** What was under way together is held together at the left. */
function bracketOf(lines: readonly Line[], index: number): Bracket {
  const groupAt = (place: number): number | null => lines[place]?.group ?? null;
  const before = lines.slice(0, index).findLast(({ name }) => name !== null)?.group ?? null;
  const after = lines.slice(index + 1).find(({ name }) => name !== null)?.group ?? null;
  if (lines[index]?.name === null) {
    const inside = before !== null && before === after;
    return inside ? { first: '│', rest: '│' } : { first: ' ', rest: ' ' };
  }
  const own = groupAt(index);
  if (own === null) return { first: ' ', rest: ' ' };
  if (before !== own) return { first: '┌', rest: '│' };
  return after === own ? { first: '├', rest: '│' } : { first: '└', rest: ' ' };
}

/** '+0ms', '+1.2s', '+3m 12s'. */
function offsetText(ms: number): string {
  return `+${formatMs(Math.max(0, ms)).replace(/ (ms|s)$/, '$1')}`;
}

/** At blanks; a word that is too long stands alone. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of oneLine(text).split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

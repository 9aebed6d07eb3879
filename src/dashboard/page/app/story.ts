/**
 * A run as it is drawn: its calls in columns, what ran together in one column, and below each call what became of its compensation; and
 * the same as rows over a time axis. Pure.
 */
import { messageOfError } from '../../../message/encrypted-value.ts';
import { faultText, several, spanText } from './texts.ts';
import type { Tone } from './attention.ts';
import type { DeclaredSaga } from '../../server/contract.ts';
import type { WireTimeline } from './wire.ts';

export type WireCall = WireTimeline['calls'][number];
export type WireCompensation = WireTimeline['compensations'][number];
export type WireNote = WireTimeline['notes'][number];

/** What a state looks like: never colour alone. */
export interface Look {
  readonly tone: Tone;
  readonly shape: ShapeName;
  readonly word: string;
}

export type ShapeName =
  | 'dot'
  | 'ring'
  | 'half'
  | 'check'
  | 'cross'
  | 'square'
  | 'diamond'
  | 'triangle'
  | 'again'
  | 'back'
  | 'bars'
  | 'skip'
  | 'dash';

const CALL_LOOKS: Readonly<Record<WireCall['state'], Look>> = {
  running: { tone: 'busy', shape: 'half', word: 'running' },
  retrying: { tone: 'warn', shape: 'again', word: 'retrying' },
  waiting: { tone: 'wait', shape: 'ring', word: 'waiting' },
  done: { tone: 'ok', shape: 'check', word: 'done' },
  degraded: { tone: 'warn', shape: 'triangle', word: 'degraded' },
  failed: { tone: 'bad', shape: 'cross', word: 'failed' },
  'in doubt': { tone: 'warn', shape: 'diamond', word: 'in doubt' },
  'timed out': { tone: 'warn', shape: 'dash', word: 'timed out' },
  dropped: { tone: 'off', shape: 'dash', word: 'dropped' },
  halted: { tone: 'bad', shape: 'bars', word: 'halted' },
};

const BACK_LOOKS: Readonly<Record<WireCompensation['state'], Look>> = {
  running: { tone: 'busy', shape: 'half', word: 'compensating' },
  retrying: { tone: 'warn', shape: 'again', word: 'retrying' },
  compensated: { tone: 'ok', shape: 'back', word: 'compensated' },
  'gave up': { tone: 'bad', shape: 'square', word: 'gave up' },
  skipped: { tone: 'warn', shape: 'skip', word: 'skipped' },
  resolved: { tone: 'ok', shape: 'back', word: 'by hand' },
};

const RUN_LOOKS: Readonly<Record<string, Look>> = {
  pending: { tone: 'wait', shape: 'ring', word: 'pending' },
  running: { tone: 'busy', shape: 'half', word: 'running' },
  waiting: { tone: 'wait', shape: 'ring', word: 'waiting' },
  compensating: { tone: 'warn', shape: 'back', word: 'compensating' },
  completed: { tone: 'ok', shape: 'check', word: 'completed' },
  compensated: { tone: 'off', shape: 'back', word: 'compensated' },
  stuck: { tone: 'bad', shape: 'square', word: 'stuck' },
};

export const callLook = ({ state }: WireCall): Look => CALL_LOOKS[state];
export const backLook = ({ state }: WireCompensation): Look => BACK_LOOKS[state];
export const runLook = (status: string): Look => RUN_LOOKS[status] ?? { tone: 'off', shape: 'dot', word: status };

/** One box of the drawing. */
export interface Box {
  /** What selects it: the call. */
  readonly call: string;
  readonly kind: string;
  /** Null: as declared, not run. */
  readonly look: Look | null;
  readonly pivot: boolean;
  /** What stands under it, on the way back; null: nothing. */
  readonly back: { readonly look: Look | null } | null;
}

/** What ran together, or one call; a gap stands for columns that are left out. */
export type DrawnColumn =
  | { readonly t: 'calls'; readonly boxes: readonly Box[] }
  | { readonly t: 'gap'; readonly calls: number };

const MOST_COLUMNS = 40;

export function columnsOfRun(timeline: WireTimeline): readonly DrawnColumn[] {
  const last = new Map(timeline.compensations.map((each) => [each.call, each]));
  const remaining = new Set(timeline.remaining);
  const columns: { group: number | null; boxes: Box[] }[] = [];
  for (const call of timeline.calls) {
    const compensation = last.get(call.call);
    const due = remaining.has(call.call);
    const back =
      compensation !== undefined
        ? { look: backLook(compensation) }
        : due
          ? { look: { tone: 'wait', shape: 'ring', word: 'to compensate' } as const }
          : null;
    const box: Box = { call: call.call, kind: call.kind, look: callLook(call), pivot: call.pivot, back };
    const column = columns.at(-1);
    if (column !== undefined && call.group !== null && column.group === call.group) column.boxes.push(box);
    else columns.push({ group: call.group, boxes: [box] });
  }
  return fold(columns.map(({ boxes }) => ({ t: 'calls', boxes })));
}

/** In the order of the declaration, which is all that is known before the code runs. */
export function columnsOfDeclaration({ steps }: DeclaredSaga): readonly DrawnColumn[] {
  return fold(
    steps.map(({ name, kind, pivot, compensated }) => ({
      t: 'calls',
      boxes: [{ call: name, kind, look: null, pivot, back: compensated ? { look: null } : null }],
    })),
  );
}

function fold(columns: readonly Extract<DrawnColumn, { t: 'calls' }>[]): readonly DrawnColumn[] {
  if (columns.length <= MOST_COLUMNS) return columns;
  const half = MOST_COLUMNS / 2;
  const left = columns.slice(half, -half);
  const calls = left.reduce((sum, { boxes }) => sum + boxes.length, 0);
  return [...columns.slice(0, half), { t: 'gap', calls }, ...columns.slice(-half)];
}

/** A line under the time axis. */
export type StoryRow =
  | { readonly t: 'call'; readonly call: WireCall }
  | { readonly t: 'back'; readonly compensation: WireCompensation }
  | { readonly t: 'remaining'; readonly call: string }
  | { readonly t: 'pivot' }
  | { readonly t: 'turn'; readonly at: number; readonly text: string }
  | { readonly t: 'note'; readonly at: number; readonly text: string; readonly tone: Tone };

/** The way forward, then the way back, with notes at their places. */
export function rowsOfRun(timeline: WireTimeline): readonly StoryRow[] {
  const rows: StoryRow[] = [];
  const notesAt = (compensating: boolean, after: number): void => {
    for (const note of timeline.notes) {
      if (note.compensating === compensating && note.after === after)
        rows.push({ t: 'note', at: note.at, ...noteWords(note) });
    }
  };
  const { calls, compensations, compensating, remaining } = timeline;
  notesAt(false, 0);
  for (const [index, call] of calls.entries()) {
    rows.push({ t: 'call', call });
    if (call.pivot && call.state === 'done') rows.push({ t: 'pivot' });
    notesAt(false, index + 1);
  }
  if (compensating === null) return rows;
  rows.push({ t: 'turn', at: compensating.at, text: turnWords(compensating) });
  notesAt(true, 0);
  for (const [index, compensation] of compensations.entries()) {
    rows.push({ t: 'back', compensation });
    notesAt(true, index + 1);
  }
  for (const call of remaining) rows.push({ t: 'remaining', call });
  return rows;
}

function turnWords({ reason, actor }: NonNullable<WireTimeline['compensating']>): string {
  if (reason === 'failed') return 'it failed: from here on the way back';
  if (reason === 'timed out') return 'its time was up: from here on the way back';
  return `${actor ?? 'somebody'} cancelled it: from here on the way back`;
}

function noteWords({ event }: WireNote): { readonly text: string; readonly tone: Tone } {
  switch (event.t) {
    case 'signal':
      return { text: `signal ${event.name} came in`, tone: 'wait' };
    case 'recovered':
      return {
        text: `taken over from a worker that was lost${event.lost > 1 ? `, ${several(event.lost, 'worker')} by then` : ''}${event.alone === true ? '; tried alone' : ''}`,
        tone: 'warn',
      };
    case 'late reply':
      return { text: `late reply to ${event.call}: ${event.outcome}`, tone: 'warn' };
    case 'refused':
      return { text: refusedWords(event), tone: 'warn' };
    case 'stuck':
      return { text: `stuck: ${messageOfError(event.error)}`, tone: 'bad' };
    case 'retried':
      return {
        text: `tried again by ${event.actor}${event.reason === undefined ? '' : `: ${event.reason}`}`,
        tone: 'busy',
      };
    case 'resolved':
      return {
        text: `${event.call === '*' ? 'the run' : event.call} is ${event.as}, says ${event.actor}: ${event.reason}`,
        tone: 'busy',
      };
    case 'held':
      return { text: 'done, and can be compensated until its parent has ended', tone: 'wait' };
    case 'unknown':
      return {
        text: `${event.call === null ? '' : `${event.call}: `}${event.name}, which this version of Holdfast does not know`,
        tone: 'off',
      };
  }
}

function refusedWords({ what, name, actor, reason }: Extract<WireNote['event'], { readonly t: 'refused' }>): string {
  if (what === 'deadline') return 'its deadline passed behind the pivot: it goes on';
  const who = actor === undefined ? '' : ` by ${actor}`;
  return `${what}${name === undefined ? '' : ` ${name}`}${who} came too late${reason === undefined ? '' : `: ${reason}`}`;
}

/** Stretches of a bar: attempts, and the waits between them. `failed`: the attempt ended there without success. */
export interface BarPart {
  readonly t: 'attempt' | 'pause';
  readonly from: number;
  readonly to: number;
  /** The attempt that ended there by failing. */
  readonly failed: FailedTry | null;
}

type FailedTry = WireCall['failedAttempts'][number];

/**
 * A bar in its parts, when the journal tells of attempts that failed: an attempt goes to where it failed, and the next one begins when it
 * was to. `till`: where the bar ends.
 */
export function partsOfBar(
  { startedAt, failedAttempts }: Pick<WireCall, 'startedAt' | 'failedAttempts'>,
  till: number,
): readonly BarPart[] {
  const parts: BarPart[] = [];
  let from = startedAt;
  for (const failed of failedAttempts) {
    // On the clock of whichever worker recorded it: never backwards here.
    const to = Math.min(Math.max(failed.at, from), till);
    parts.push({ t: 'attempt', from, to, failed });
    from = failed.retryAt === null ? till : Math.min(Math.max(failed.retryAt, to), till);
    if (from > to) parts.push({ t: 'pause', from: to, to: from, failed: null });
  }
  if (from < till || parts.length === 0) parts.push({ t: 'attempt', from, to: till, failed: null });
  return parts;
}

/** 'attempt 2: HF_STEP_TIMEOUT: …'. */
export function attemptWords({ attempt, error, uncounted }: FailedTry): string {
  return `attempt ${attempt}: ${faultText(error)}${uncounted === null ? '' : ` (${uncounted}: it does not count)`}`;
}

/** What a call waits for, where it does. */
export function waitWords({ state, until, retryAt }: WireCall, now: number): string | null {
  if (state === 'retrying' && retryAt !== null)
    return retryAt <= now ? 'again now' : `again in ${spanText(retryAt - now)}`;
  if (state === 'waiting' && until !== null)
    return until <= now ? 'is due' : `for another ${spanText(until - now)} at most`;
  return null;
}

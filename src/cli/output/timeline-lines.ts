/**
 * The lines of a timeline, as data: what each call, compensation and note says. Pure; timeline.ts draws them.
 */
import { messageOfError } from '../../message/encrypted-value.ts';
import type { TimelineCall, TimelineNote, TimelineCompensation } from '../../operations/sagas/saga-timeline-model.ts';
import { WHOLE_RUN, type RecordedError } from '../../saga/journal/events.ts';
import { isCallKind } from '../../saga/definition/kind-names.ts';
import { kindOf } from '../../saga/kinds/table.ts';
import { formatMs, formatTime } from './format.ts';
import type { Style } from './style.ts';

export type Paint = keyof Style | 'plain';

export interface Line {
  /** Milliseconds since the epoch; null: it has not begun. */
  readonly at: number | null;
  readonly glyph: string;
  readonly paint: Paint;
  /** Null for a note, whose text takes the whole line. */
  readonly name: string | null;
  readonly kind: string;
  /** Empty: unknown, or of no interest. */
  readonly took: string;
  readonly tries: number;
  readonly outcome: string;
  readonly group: number | null;
}

interface Now {
  readonly now: number;
}

export function callLine(call: TimelineCall, { now }: Now): Line {
  const { glyph, paint, outcome } = describeCall(call, now);
  const open = call.state === 'running' || call.state === 'retrying' || call.state === 'waiting';
  const end = call.endedAt ?? (open ? now : null);
  return {
    at: call.startedAt,
    glyph,
    paint,
    name: call.call,
    kind: call.kind + (call.pivot ? ', pivot' : ''),
    took: end === null ? '' : `${formatMs(Math.max(0, end - call.startedAt))}${open ? '…' : ''}`,
    tries: call.attempts,
    outcome: [outcome, ...addenda(call)].join('; '),
    group: call.group,
  };
}

interface Described {
  readonly glyph: string;
  readonly paint: Paint;
  readonly outcome: string;
}

function describeCall(call: TimelineCall, now: number): Described {
  const { state, error, until, retryAt, resolved } = call;
  if (resolved !== null) {
    const as = resolved.as === 'done' ? 'done' : 'not done';
    return {
      glyph: resolved.as === 'done' ? '✔' : '✘',
      paint: 'yellow',
      outcome: `${as}, says ${resolved.actor}: ${resolved.reason}`,
    };
  }
  switch (state) {
    case 'done':
      return { glyph: '✔', paint: 'green', outcome: 'done' };
    case 'degraded':
      return { glyph: '≈', paint: 'yellow', outcome: `degraded, its fallback stood in: ${errorText(error)}` };
    case 'failed':
      return {
        glyph: '✘',
        paint: 'red',
        outcome:
          (error?.code === 'HF_REJECTED' ? errorText(error) : `failed: ${errorText(error)}`) + fallbackText(call),
      };
    case 'in doubt':
      return {
        glyph: '?',
        paint: 'yellow',
        outcome: `in doubt, it may have happened${error === null ? '' : `: ${errorText(error)}`}${fallbackText(call)}`,
      };
    case 'timed out':
      return { glyph: '✘', paint: 'yellow', outcome: 'timed out, no signal came' };
    case 'dropped':
      return { glyph: '·', paint: 'dim', outcome: 'left, the run went on without it' };
    case 'halted':
      return { glyph: '‖', paint: 'red', outcome: `halted${error === null ? '' : `: ${errorText(error)}`}` };
    case 'retrying':
      return triedAgain(retryAt, error, now);
    case 'running':
      return {
        glyph: '▸',
        paint: 'cyan',
        outcome: error === null ? 'running' : `running again, after: ${errorText(error)}`,
      };
    case 'waiting':
      return {
        glyph: '…',
        paint: 'cyan',
        outcome: waitingText(call, until === null ? null : `until ${momentText(until, now)}`),
      };
  }
}

function waitingText(call: TimelineCall, until: string | null): string {
  const again = call.error === null ? '' : `, again, after: ${errorText(call.error)}`;
  if (!isCallKind(call.kind)) return `no outcome is known of it${again}`;
  return `${kindOf(call).waiting?.(call, until) ?? 'running'}${again}`;
}

function addenda({ verified, lateReply }: TimelineCall): readonly string[] {
  return [
    ...(verified === null ? [] : [`verified: ${verified === 'done' ? 'it has happened' : 'it has not happened'}`]),
    ...(lateReply === null ? [] : [`a late reply says ${lateReply}`]),
  ];
}

export function compensationLine(compensation: TimelineCompensation, now: number): Line {
  const open = compensation.state === 'running' || compensation.state === 'retrying';
  const end = compensation.endedAt ?? (open ? now : null);
  const { glyph, paint, outcome } = describeCompensation(compensation, now);
  const took =
    compensation.state === 'skipped' || end === null
      ? ''
      : `${formatMs(Math.max(0, end - compensation.startedAt))}${open ? '…' : ''}`;
  return {
    at: compensation.startedAt,
    glyph,
    paint,
    name: compensation.call,
    kind: 'compensate',
    took,
    tries: compensation.attempts,
    outcome: `${outcome}${compensation.round > 1 ? ` (round ${compensation.round})` : ''}`,
    group: null,
  };
}

function describeCompensation({ state, error, retryAt, byHand }: TimelineCompensation, now: number): Described {
  const who = byHand === null ? '' : ` by ${byHand.actor}: ${byHand.reason}`;
  switch (state) {
    case 'compensated':
      return { glyph: '↶', paint: 'green', outcome: 'compensated' };
    case 'skipped':
      return { glyph: '⊘', paint: 'yellow', outcome: `skipped${who}` };
    case 'resolved':
      return { glyph: '↶', paint: 'yellow', outcome: `compensated by hand${who}` };
    case 'gave up':
      return { glyph: '✘', paint: 'red', outcome: `STUCK, gave up: ${errorText(error)}` };
    case 'retrying':
      return triedAgain(retryAt, error, now);
    case 'running':
      return {
        glyph: '▸',
        paint: 'cyan',
        outcome: error === null ? 'being compensated' : `being compensated again, after: ${errorText(error)}`,
      };
  }
}

function triedAgain(retryAt: number | null, error: RecordedError | null, now: number): Described {
  return { glyph: '↻', paint: 'yellow', outcome: `tried again ${dueText(retryAt, now)}, after: ${errorText(error)}` };
}

export function remainingLine(call: string): Line {
  return {
    at: null,
    glyph: '·',
    paint: 'dim',
    name: call,
    kind: 'compensate',
    took: '',
    tries: 1,
    outcome: 'still to be compensated',
    group: null,
  };
}

export function noteLine({ at, event }: TimelineNote): Line {
  const line = { at, name: null, kind: '', took: '', tries: 1, group: null };
  switch (event.t) {
    case 'signal':
      return { ...line, glyph: '→', paint: 'dim', outcome: `signal ${event.name} came in` };
    case 'recovered':
      return {
        ...line,
        glyph: '!',
        paint: 'yellow',
        outcome: `${event.alone === true ? 'tried alone, having been ' : ''}taken over from a worker that was lost${event.lost > 1 ? ` (the ${ordinal(event.lost)})` : ''}`,
      };
    case 'late reply':
      return { ...line, glyph: '→', paint: 'yellow', outcome: `late reply to ${event.call}: ${event.outcome}` };
    case 'refused':
      return { ...line, glyph: '!', paint: 'yellow', outcome: refusedText(event) };
    case 'stuck':
      return { ...line, glyph: '■', paint: 'red', outcome: `stuck: ${errorText(event.error)}` };
    case 'retried':
      return {
        ...line,
        glyph: '↻',
        paint: 'yellow',
        outcome:
          `${event.anew?.map(({ call }) => call).join(', ') ?? ''} tried again by ${event.actor}${reasonText(event.reason)}`.trimStart(),
      };
    case 'resolved':
      return {
        ...line,
        glyph: '!',
        paint: 'yellow',
        outcome: `${event.call === WHOLE_RUN ? 'the run' : event.call} is ${event.as}, says ${event.actor}: ${event.reason}`,
      };
    case 'held':
      return { ...line, glyph: '…', paint: 'cyan', outcome: 'done, and undoable until its parent has ended' };
    case 'unknown':
      return {
        ...line,
        glyph: '·',
        paint: 'dim',
        outcome: `${event.call === null ? '' : `${event.call}: `}${event.name}, which this version does not know`,
      };
  }
}

function ordinal(count: number): string {
  return `${count}${['th', 'st', 'nd', 'rd'][count < 4 ? count : 0]}`;
}

function refusedText({ what, name, actor, reason }: Extract<TimelineNote['event'], { t: 'refused' }>): string {
  if (what === 'deadline') return 'its deadline passed behind the pivot: it goes on';
  const who = actor === undefined ? '' : ` by ${actor}`;
  if (what === 'cancel') return `cancel${who} refused behind the pivot or the end${reasonText(reason)}`;
  return `${what}${name === undefined ? '' : ` ${name}`}${who} came too late${reasonText(reason)}`;
}

/** 'HF_STEP_TIMEOUT: …', 'SoldOut: none left', 'rejected: none left', or, for what is only an Error, 'none left'. */
export function errorText(error: RecordedError | null): string {
  if (error === null) return 'unknown';
  const message = messageOfError(error).trim();
  if (error.code === 'HF_REJECTED') return `rejected: ${message}`;
  const name = String(error.code ?? error.name);
  if (name === 'Error' || name === 'HF_PERMANENT' || message.startsWith(name)) return message === '' ? name : message;
  return message === '' ? name : `${name}: ${message}`;
}

function fallbackText({ fallbackError }: TimelineCall): string {
  return fallbackError === null ? '' : `; its fallback failed as well: ${errorText(fallbackError)}`;
}

function reasonText(reason: string | undefined): string {
  return reason === undefined ? '' : `: ${reason}`;
}

/** 'in 3.2 s', 'now'. */
function dueText(at: number | null, now: number): string {
  return at === null || at <= now ? 'now' : `in ${formatMs(at - now)}`;
}

/** '2026-01-02 03:04:05Z (in 3h)'. */
export function momentText(at: number, now: number): string {
  return `${formatTime(new Date(at))} (${at <= now ? 'now' : `in ${formatMs(at - now)}`})`;
}

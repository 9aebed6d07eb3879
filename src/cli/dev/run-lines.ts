/**
 * What one row of a journal tells, in the words of a person who looks on: a line each, and none for what is only the beginning of
 * something. Pure.
 */
import type { JournalEvent, RecordedError, StuckWhy } from '../../saga/journal/events.ts';
import { isCallKind } from '../../saga/definition/kind-names.ts';
import { kindOf } from '../../saga/kinds/table.ts';
import { formatMs, oneLine } from '../output/format.ts';

/** How a line is to be taken. */
export type LineTone = 'good' | 'plain' | 'notable' | 'bad';

export interface RunLine {
  readonly tone: LineTone;
  readonly what: string;
  /** How long it took, in milliseconds; null: nothing that takes time, or not known. */
  readonly tookMs: number | null;
}

/** The calls that a run has under way, by name: since when, and whether anybody is told of their end. */
export type Begun = Map<string, { readonly at: number; readonly quiet: boolean }>;

export interface RunMoment {
  readonly at: number;
  readonly startedAt: number;
  readonly begun: Begun;
}

/** The line of an event. Null: nothing to tell. Notes in `begun` what begins. */
export function runLine(event: JournalEvent, { at, startedAt, begun }: RunMoment): RunLine | null {
  const line = (tone: LineTone, what: string, tookMs: number | null = null): RunLine => ({ tone, what, tookMs });
  const ended = (call: string): { readonly tookMs: number | null; readonly quiet: boolean } => {
    const from = begun.get(call);
    begun.delete(call);
    return { tookMs: from === undefined ? null : Math.max(0, at - from.at), quiet: from?.quiet === true };
  };
  switch (event.t) {
    case 'started':
      return line('plain', 'started');
    case 'called':
      return called(event, at, begun);
    case 'done': {
      const { tookMs, quiet } = ended(event.call);
      if (quiet) return null;
      if (event.degraded === undefined) return line('good', `${event.call} done`, tookMs);
      return line('notable', `${event.call} done by its fallback: ${text(event.degraded)}`, tookMs);
    }
    case 'attempt failed':
      return line(
        'notable',
        `${event.call} failed, attempt ${event.attempt}: ${text(event.error)}; again in ${formatMs(event.retryAt - at)}`,
      );
    case 'failed': {
      const how = event.outcome === 'unknown' ? 'is in doubt, it may have happened' : 'failed';
      return line('bad', `${event.call} ${how}: ${text(event.error)}`, ended(event.call).tookMs);
    }
    case 'timed out':
      return line('notable', `${event.call}: no signal came in time`);
    case 'signal':
      return line('plain', `signal ${event.name} came`);
    case 'recovered':
      return line('notable', 'taken over from a worker that was lost');
    case 'undoing':
      return line(
        'notable',
        `is compensated, because ${BECAUSE[event.reason]}${event.error === undefined ? '' : `: ${text(event.error)}`}`,
      );
    case 'compensated':
      return line('plain', `${event.call} compensated`);
    case 'compensation failed': {
      const again = event.retryAt === undefined ? '' : `; again in ${formatMs(event.retryAt - at)}`;
      return line(
        'bad',
        `compensation of ${event.call} failed, attempt ${event.attempt}: ${text(event.error)}${again}`,
      );
    }
    case 'stuck':
      return line('bad', `is stuck (${WHY[event.why] ?? event.why}): ${text(event.error)}`);
    case 'retried':
      return line('plain', `is tried again by ${event.actor}`);
    case 'skipped':
      return line('plain', `compensation of ${event.call} left out by ${event.actor}`);
    case 'resolved':
      return line('plain', `${event.call} said to be ${event.as} by ${event.actor}`);
    case 'held':
      return line('good', 'done, and held for its parent', at - startedAt);
    case 'completed':
      return line('good', 'completed', at - startedAt);
    case 'undone':
      return line('notable', 'compensated', at - startedAt);
    default:
      // What a later version writes, and what people need only when they look at one run.
      return null;
  }
}

/** Only what takes a while by its nature is told of when it begins; of its end there is nothing to add. */
function called(event: Extract<JournalEvent, { t: 'called' }>, at: number, begun: Begun): RunLine | null {
  const endsBy = isCallKind(event.kind) ? kindOf(event).endsBy : 'attempt';
  const quiet = endsBy === 'time' || endsBy === 'signal';
  begun.set(event.call, { at, quiet });
  if (!quiet) return null;
  const until = event.until === undefined ? '' : ` for ${formatMs(event.until - at)}`;
  const what = endsBy === 'time' ? `sleeps${until}` : `waits for the signal ${event.step}`;
  return { tone: 'plain', what, tookMs: null };
}

const BECAUSE = { failed: 'it failed', cancelled: 'it was cancelled', 'timed out': 'its deadline passed' } as const;
const WHY: Partial<Record<StuckWhy, string>> = { code: 'its code threw what nobody throws on purpose' };

function text({ name, message }: RecordedError): string {
  return oneLine(message === '' ? name : message, 160);
}

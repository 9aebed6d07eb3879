/**
 * Runs the code of a saga against a journal: every recorded outcome is told in its place, and every call the code makes must be the
 * one that is recorded there. Used by the engine when it takes up a run, and by the check of stored histories (check-replay.ts).
 */
import { isDeepStrictEqual } from 'node:util';
import { describeError } from '../runtime/describe-error.ts';
import type { JournalEvent, JournalRow, RecordedError, StuckWhy } from './events.ts';
import type { Ending, Flow, NewCall } from './flow.ts';
import { stepOf, type AnySaga } from './definition.ts';
import { rebuildError } from './recorded-error.ts';
import { takenBack } from './retried.ts';
import { raisedInput, raisedOutput } from './recorded-values.ts';
import { valueOf } from './state.ts';

export type Fit =
  /** `calls`: what it asked for beyond the journal. `ending`: it came to its end. */
  | { readonly kind: 'fits'; readonly calls: readonly NewCall[]; readonly ending: Ending | null }
  | {
      readonly kind: 'misfit';
      readonly why: Extract<StuckWhy, 'non-determinism' | 'outside await'>;
      readonly error: RecordedError;
      /** What stands against what; null where the code does what it never may. */
      readonly sides: Sides | null;
    };

export interface Sides {
  readonly journal: string;
  readonly code: string;
}

/**
 * Values of commands are raised to the types that `saga` declares, if they were recorded in older versions of them.
 * @param turn resolves after a turn of the event loop; one may serve many replays at once
 */
export async function replay(
  saga: AnySaga,
  flow: Flow,
  journal: readonly JournalRow[],
  turn: () => Promise<void>,
): Promise<Fit> {
  const steps = new Map<string, string>();
  const asked: NewCall[] = [];
  let ending: Ending | null = null;
  let outside: RecordedError | null = null;

  const look = async (): Promise<void> => {
    await turn();
    const looked = flow.look();
    asked.push(...looked.calls);
    ending = looked.ending;
    outside ??= looked.violation;
  };

  const past = takenBack(journal);
  // Called in answer to a failure that was taken back: the code does not ask for it now, and is not told of it.
  const aside = new Set<string>();
  const isToBeTold = (event: JournalEvent): boolean =>
    !past.failures.has(event) && !('call' in event && event.call !== undefined && aside.has(event.call));
  flow.begin(journal[0]?.at ?? 0);
  await look();
  for (const { at, events } of journal) {
    for (const event of events) {
      if (outside !== null) return { kind: 'misfit', why: 'outside await', error: outside, sides: null };
      // From there on the code was not run.
      if (event.t === 'undoing') return { kind: 'fits', calls: [], ending };
      if (event.t === 'called' && past.calls.has(event)) {
        const place = asked.findIndex((call) => compare(saga, event, call, ending) === null);
        if (place < 0) aside.add(event.call);
        else asked.splice(place, 1);
        steps.set(event.call, event.step);
      } else if (event.t === 'called') {
        aside.delete(event.call);
        const call = asked.shift();
        const sides = compare(saga, event, call, ending);
        if (sides !== null) return { kind: 'misfit', why: 'non-determinism', error: misfit(sides), sides };
        steps.set(event.call, event.step);
      } else if (ending === null && isToBeTold(event) && tellRecorded(saga, flow, event, at, steps)) await look();
    }
  }
  if (outside !== null) return { kind: 'misfit', why: 'outside await', error: outside, sides: null };
  return { kind: 'fits', calls: asked, ending };
}

/** Whether the event is something the code is told. */
function tellRecorded(
  saga: AnySaga,
  flow: Flow,
  event: JournalEvent,
  at: number,
  steps: ReadonlyMap<string, string>,
): boolean {
  if (event.t === 'done') {
    const step = stepOf(saga, steps.get(event.call) ?? '');
    const value = orAsItIs(event.output, (output) => raisedOutput(step, event.version ?? null, output));
    flow.tell(event.call, { kind: 'done', value }, at);
  } else if (event.t === 'timed out') flow.tell(event.call, { kind: 'done', value: null }, at);
  else if (event.t === 'failed')
    flow.tell(event.call, { kind: 'failed', error: rebuildError(event.error, steps.get(event.call)) }, at);
  else return false;
  return true;
}

type Called = Extract<JournalEvent, { t: 'called' }>;

/** Null when the call is the one that is recorded; otherwise both sides. */
function compare(saga: AnySaga, recorded: Called, call: NewCall | undefined, ending: Ending | null): Sides | null {
  const journal = `has the call ${show(recorded)}`;
  if (call === undefined) {
    if (ending === null) return { journal, code: 'makes no call there' };
    return {
      journal,
      code: ending.kind === 'returned' ? 'returns there' : `throws there: ${describeError(ending.error)}`,
    };
  }
  const input = valueOf(call.input);
  if (call.id !== recorded.call || call.kind !== recorded.kind || call.step !== recorded.step) {
    return { journal, code: `calls ${show({ ...call, call: call.id, input })}` };
  }
  if (isDeepStrictEqual(input, recorded.input)) return null;
  const raise = (old: unknown): unknown => raisedInput(stepOf(saga, call.step), recorded.version ?? null, old);
  if (isDeepStrictEqual(input, orAsItIs(recorded.input, raise))) return null;
  return {
    journal: `has the call ${recorded.call} with the input ${brief(recorded.input)}`,
    code: `calls it with ${brief(input)}`,
  };
}

/** What no upcast reaches, or an upcast fails for, is shown as it is. */
function orAsItIs(recorded: unknown, raise: (recorded: unknown) => unknown): unknown {
  try {
    return raise(recorded);
  } catch {
    return recorded;
  }
}

function misfit({ journal, code }: Sides): RecordedError {
  return {
    name: 'HoldfastError',
    code: 'HF_NON_DETERMINISM',
    message:
      `The journal ${journal}; the code ${code}. ` +
      'Deploy code that does what it did before (or keep the old version beside the new one), then have the run retried; or cancel it.',
  };
}

function show({
  call,
  kind,
  input,
}: {
  readonly call: string;
  readonly kind: string;
  readonly input?: unknown;
}): string {
  return `${call} (${kind}) with ${brief(input)}`;
}

const MOST_SHOWN = 300;

function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}

/**
 * Runs the code of a saga against a journal: every recorded outcome is told in its place, and every call the code makes must be the
 * one that is recorded there.
 */
import { isDeepStrictEqual } from 'node:util';
import { describeError } from '../../runtime/describe-error.ts';
import type { JournalEvent, JournalRow, RecordedError, StuckWhy } from '../journal/events.ts';
import type { NewCall } from '../kinds/kind.ts';
import type { CodeEnding, Flow, CallOutcome } from './flow.ts';
import { stepOf, type AnySaga } from '../definition/definition.ts';
import { rebuildError } from '../journal/recorded-error.ts';
import { takenBack } from '../state/retried.ts';
import { raisedInput, raisedOutput } from '../journal/recorded-values.ts';
import { textOf, valueOf } from '../journal/state.ts';
import { quickTurn } from './turn.ts';

export type Fit =
  /** `calls`: what it asked for beyond the journal. `ending`: it came to its end. */
  | { readonly kind: 'fits'; readonly calls: readonly NewCall[]; readonly ending: CodeEnding | null }
  | {
      readonly kind: 'mismatch';
      readonly why: Extract<StuckWhy, 'non-determinism' | 'outside await'>;
      readonly error: RecordedError;
      /** What stands against what; null where the code does what it never may. */
      readonly sides: Sides | null;
    };

export interface Sides {
  readonly journal: string;
  readonly code: string;
}

export interface Replayed {
  readonly fit: Fit;
  /** The code, told all that is recorded. */
  readonly flow: Flow;
}

/**
 * Values of commands are raised to the types that `saga` declares, if they were recorded in older versions of them.
 *
 * A long journal is replayed in haste first: a turn of the event loop for each of thousands of events would be most of the time. What does
 * not fit then is replayed at the pace at which it was recorded, and that counts: code may put off what it does (turn.ts).
 * @param make makes the code anew; called once or twice
 * @param turn resolves after a turn of the event loop; one may serve many replays at once
 */
export async function replay(
  saga: AnySaga,
  make: () => Flow,
  journal: readonly JournalRow[],
  turn: () => Promise<void>,
): Promise<Replayed> {
  if (isWorthHaste(journal)) {
    const quick = await replayAt(saga, make(), journal, { turn, haste: true });
    if (quick.fit.kind === 'fits') return quick;
  }
  return replayAt(saga, make(), journal, { turn, haste: false });
}

/** Haste pays only for many events. With heavy values, parsing takes the time, not the turns. What was retried is replayed slowly. */
const LONG_EVENTS = 100;
const HEAVY_BYTES = 8 * 1024 * 1024;
/** Between two turns of the event loop, so that others are served as well. */
const TOLD_IN_A_TURN = 32;

function isWorthHaste(journal: readonly JournalRow[]): boolean {
  let [count, weight] = [0, 0];
  for (const { events, bytes = 0 } of journal) {
    if (events.some(({ t }) => t === 'retried')) return false;
    count += events.length;
    weight += bytes;
  }
  return count >= LONG_EVENTS && weight < HEAVY_BYTES;
}

async function replayAt(
  saga: AnySaga,
  flow: Flow,
  journal: readonly JournalRow[],
  { turn, haste }: { readonly turn: () => Promise<void>; readonly haste: boolean },
): Promise<Replayed> {
  const steps = new Map<string, string>();
  const asked: NewCall[] = [];
  let ending: CodeEnding | null = null;
  let outside: RecordedError | null = null;
  let told = 0;

  const look = async (isLast: boolean): Promise<void> => {
    told += 1;
    const whole = !haste || isLast || told % TOLD_IN_A_TURN === 0;
    await (whole ? turn() : quickTurn());
    let looked = flow.look();
    for (const call of looked.calls) asked.push(call);
    outside ??= looked.violation;
    if (looked.ending !== null && !whole) {
      // How it ended depends on what nobody awaits, which is known after a whole turn.
      await turn();
      looked = flow.look();
    }
    ending = looked.ending;
  };
  const mismatches = (fit: Omit<Extract<Fit, { kind: 'mismatch' }>, 'kind'>): Replayed => ({
    fit: { kind: 'mismatch', ...fit },
    flow,
  });

  const past = takenBack(journal);
  // Called in answer to a failure that was taken back: the code does not ask for it now, and is not told of it.
  const aside = new Set<string>();
  const isToBeSettled = (event: JournalEvent): boolean =>
    !past.failures.has(event) && !('call' in event && event.call !== undefined && aside.has(event.call));
  const last = journal.findLast(({ events }) => events.some(isSettled))?.events.findLast(isSettled);
  flow.begin(journal[0]?.at ?? 0);
  await look(true);
  for (const { at, events } of journal) {
    for (const event of events) {
      if (outside !== null) return mismatches({ why: 'outside await', error: outside, sides: null });
      // From there on the code was not run.
      if (event.t === 'undoing') return { fit: { kind: 'fits', calls: [], ending }, flow };
      if (event.t === 'called' && past.calls.has(event)) {
        const place = asked.findIndex((call) => compare(saga, event, call, ending) === null);
        if (place < 0) aside.add(event.call);
        else asked.splice(place, 1);
        steps.set(event.call, event.step);
      } else if (event.t === 'called') {
        aside.delete(event.call);
        const call = asked.shift();
        const sides = compare(saga, event, call, ending);
        if (sides !== null) return mismatches({ why: 'non-determinism', error: mismatch(sides), sides });
        steps.set(event.call, event.step);
      } else if (ending === null && isSettled(event) && isToBeSettled(event)) {
        // What the code does to a value must not be seen the second time.
        const seen = haste && event.t === 'done' ? copyOf(event) : event;
        flow.tell(event.call, outcomeOf(saga, seen, steps), at);
        await look(event === last);
      }
    }
  }
  if (outside !== null) return mismatches({ why: 'outside await', error: outside, sides: null });
  return { fit: { kind: 'fits', calls: asked, ending }, flow };
}

function copyOf(event: Extract<OutcomeEvent, { t: 'done' }>): OutcomeEvent {
  const { output } = event;
  return typeof output === 'object' && output !== null ? { ...event, output: valueOf(JSON.stringify(output)) } : event;
}

type OutcomeEvent = Extract<JournalEvent, { t: 'done' | 'timed out' | 'failed' }>;

/** Whether the event is something the code is told. */
function isSettled(event: JournalEvent): event is OutcomeEvent {
  return event.t === 'done' || event.t === 'timed out' || event.t === 'failed';
}

/** What the code is told of a recorded outcome. */
function outcomeOf(saga: AnySaga, event: OutcomeEvent, steps: ReadonlyMap<string, string>): CallOutcome {
  if (event.t === 'timed out') return { kind: 'done', value: null };
  const name = steps.get(event.call);
  if (event.t === 'failed') return { kind: 'failed', error: rebuildError(event.error, name) };
  const step = stepOf(saga, name ?? '');
  return { kind: 'done', value: orAsItIs(event.output, (output) => raisedOutput(step, event.version ?? null, output)) };
}

type Called = Extract<JournalEvent, { t: 'called' }>;

/** Null when the call is the one that is recorded; otherwise both sides. */
function compare(saga: AnySaga, recorded: Called, call: NewCall | undefined, ending: CodeEnding | null): Sides | null {
  if (call === undefined) {
    const journal = `has the call ${show(recorded)}`;
    if (ending === null) return { journal, code: 'makes no call there' };
    return {
      journal,
      code: ending.kind === 'returned' ? 'returns there' : `throws there: ${describeError(ending.error)}`,
    };
  }
  if (call.id !== recorded.call || call.kind !== recorded.kind || call.step !== recorded.step) {
    const journal = `has the call ${show(recorded)}`;
    return { journal, code: `calls ${show({ ...call, call: call.id, input: valueOf(call.input) })}` };
  }
  if (textOf(recorded.input) === call.input) return null;
  const input = valueOf(call.input);
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

function mismatch({ journal, code }: Sides): RecordedError {
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

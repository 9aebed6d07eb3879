/**
 * Whether stored runs fit new code: what a worker would find when it takes them up, found before the deployment. For the CI of those
 * who write sagas. Pure: runs the saga's code against what is recorded, and no step.
 */
import { HoldfastError } from '../../errors.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { stepOf, type AnySaga, type Saga } from '../definition/definition.ts';
import { createFlow } from './flow.ts';
import type { JournalEvent, JournalRow } from '../journal/events.ts';
import type { History } from '../journal/histories.ts';
import { openEvent } from '../store/encrypted-values.ts';
import { replay } from './replay.ts';
import { hasEffect } from '../definition/kind-names.ts';
import { emptyState, mayHaveHappened, valueOf, type CallState, type RunState } from '../journal/state.ts';
import { apply } from '../state/fold.ts';
import { turn } from './turn.ts';
import { breaksContract, hasOtherChild } from '../journal/call-contract.ts';

/** What {@link checkReplay} found. */
export type ReplayVerdict =
  /** `next`: the calls that the code makes beyond the journal, by id. `ended`: it came to its end. */
  | { readonly kind: 'fits'; readonly next: readonly string[]; readonly ended: boolean }
  | {
      readonly kind: 'mismatch';
      /** undefined step: the code may fit, and yet the run could not be compensated any more. */
      readonly why: 'non-determinism' | 'outside await' | 'undefined step';
      /** What the journal has. Null: it has nothing to do with it. */
      readonly journal: string | null;
      /** What the code does instead. */
      readonly code: string;
      /** Both, as a stuck run would say it. */
      readonly message: string;
    };

/** Options of {@link checkReplay}. */
export interface CheckReplayOptions {
  /**
   * Other sagas that the workers will offer. A child that was started in a version which `saga` no longer declares
   * fits only when that version is among them.
   *
   * @defaultValue none
   */
  readonly beside?: readonly AnySaga[] | undefined;
  /**
   * Opens what is encrypted in the history, which is exported as it is kept: the codec of the workers, with the keys that it names.
   *
   * @defaultValue none: a history with encrypted values is refused
   */
  readonly codec?: PayloadCodec | undefined;
}

/**
 * Checks one stored run against a saga. One that has ended is checked as well: others stand where it once stood. Runs of other sagas and versions are not told apart: give those that this code would run.
 *
 * @throws HoldfastError HF_CONFIG: the journal does not begin with a start. HF_PAYLOAD_ENCRYPTED: it has values that cannot be opened.
 * HF_OPTION_UNKNOWN. Throws nothing else, whatever the code does.
 * @example
 * for (const history of await readHistories(database, { saga: 'place-order' })) {
 *   const verdict = await checkReplay(placeOrder, history);
 *   console.log(history, verdict);
 * }
 */
export async function checkReplay(
  saga: AnySaga,
  history: History,
  options: CheckReplayOptions = {},
): Promise<ReplayVerdict> {
  refuseUnknownOptions(options, ['beside', 'codec'], 'checkReplay');
  const [first] = history.journal[0]?.events ?? [];
  if (first?.t !== 'started')
    throw new HoldfastError('HF_CONFIG', `The journal of run ${history.id} does not begin with its start.`, {
      advice: 'Take it whole: `holdfast saga history <id> --json`, or readHistories.',
      details: { run: history.id },
    });
  const journal = openJournal(saga, history, options.codec ?? null);
  const state = emptyState();
  for (const { at, events } of journal) for (const event of events) apply(state, event, at);
  const gone = undefinedStep(saga, state, options.beside ?? []);
  if (gone !== undefined) return undefinedVerdict(saga, gone);
  // Its code is not run any more.
  if (state.phase === 'compensating') return { kind: 'fits', next: [], ended: false };
  const make = () =>
    createFlow({
      saga: saga as Saga,
      runId: history.id,
      input: valueOf(state.input),
      maxBytes: DEFAULT_MAX_BYTES,
    });
  const { fit } = await replay(saga, make, journal, turn);
  if (fit.kind === 'fits') return { kind: 'fits', next: fit.calls.map(({ id }) => id), ended: fit.ending !== null };
  const { message } = fit.error;
  return {
    kind: 'mismatch',
    why: fit.why,
    journal: fit.sides?.journal ?? null,
    code: fit.sides?.code ?? message,
    message,
  };
}

/** Throws HF_PAYLOAD_ENCRYPTED. */
function openJournal({ name }: AnySaga, { id, journal }: History, codec: PayloadCodec | null): readonly JournalRow[] {
  const open = (event: JournalEvent): JournalEvent => openEvent(event, codec, { id, saga: name });
  return journal.map((row) => ({ ...row, events: row.events.map(open) }));
}

/** A call that would have to be compensated if the run were, and whose step is not declared, or no longer with what compensates it. */
function undefinedStep(saga: AnySaga, state: RunState, beside: readonly AnySaga[]): CallState | undefined {
  if (state.phase === 'completed' || state.phase === 'compensated') return undefined;
  for (const call of state.calls.values()) {
    if (!hasEffect(call.kind) || call.compensation?.state === 'done') continue;
    if (call.outcome !== 'open' && !mayHaveHappened(call)) continue;
    const step = stepOf(saga, call.step);
    if (step?.kind !== call.kind || breaksContract(call, step)) return call;
    const isOffered = (name: string): boolean =>
      beside.some((each) => each.name === name && each.version === call.version);
    if (step.saga !== null && hasOtherChild(call, step) && !isOffered(step.saga.name)) return call;
  }
  return undefined;
}

function undefinedVerdict(saga: AnySaga, call: CallState): ReplayVerdict {
  const journal = `has the call ${call.id} of the ${call.kind} ${call.step}`;
  const step = stepOf(saga, call.step);
  let code = `declares no ${call.kind} ${call.step}`;
  if (step !== undefined && step.saga !== null && hasOtherChild(call, step))
    code = `declares ${step.saga.name} in version ${step.saga.version}, and that child is of version ${String(call.version)}, which must be offered beside it`;
  else if (step?.kind === call.kind) code = `declares it without what compensates it, which it had when it was called`;
  return {
    kind: 'mismatch',
    why: 'undefined step',
    journal,
    code,
    message: `The journal ${journal}, which may have to be compensated; ${saga.name} version ${saga.version} ${code}.`,
  };
}

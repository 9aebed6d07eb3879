/**
 * A run as its starter holds it: how it is doing, its result, signals, cancellation. Made by clients (client.ts).
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { cannotOpen } from '../../message/codec.ts';
import { isEncrypted } from '../../message/encrypted-value.ts';
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import type { TransactionHandle } from '../../postgres/executor.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { didYouMean, refuseUnknownOptions } from '../../runtime/options.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import type { AnySaga, Signals } from '../definition/definition.ts';
import type { RecordedError } from '../journal/events.ts';
import { asThrown, rebuildError } from '../journal/recorded-error.ts';
import { notFound, type ResultWatch } from './result-watch.ts';
import { assertShortText, encodeValidated, tooLargeForWorkers } from './start-request.ts';
import {
  MOST_SIGNALS,
  type ClientStore,
  type PostAnswer,
  type RunMessageBody,
  type RunView,
  type StartedRun,
} from '../store/store.ts';

/** Options of {@link RunHandle.result}. */
export interface ResultOptions {
  /**
   * Then it rejects with HF_RESULT_TIMEOUT, and the run goes on.
   *
   * @defaultValue no limit
   */
  readonly timeout?: Duration | undefined;
  /** Gives up waiting with the signal's reason; the run goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** In whose transaction something is sent to a run. */
export interface InTransaction<Tx> {
  /** The caller's open transaction; then it is sent if, and only if, that commits. Default: sent at once. */
  readonly tx?: Tx | undefined;
}

/** Options of {@link RunHandle.signal}. */
export interface SignalOptions<Tx> extends InTransaction<Tx> {
  /**
   * A second signal of this name and id is dropped. 1 to 200 characters.
   *
   * @defaultValue every signal counts
   */
  readonly id?: string | undefined;
}

/** Options of {@link RunHandle.cancel}. */
export interface CancelOptions<Tx> extends InTransaction<Tx> {
  /** Kept in the journal, at most 1,000 characters. */
  readonly reason?: string | undefined;
  /** Who wants it, kept in the journal, at most 200 characters. */
  readonly actor?: string | undefined;
}

/**
 * `compensating`: the run is being compensated, or will be, whatever happens. `undecided`: it may come too late all the same, because the pivot is
 * under way, a child has done its work, or the caller's transaction has yet to commit. If it does, the run goes on, and `refused` of its
 * status, its journal and the worker's log say so.
 */
export type CancelAnswer = 'compensating' | 'undecided';

/** What follows the name of a signal: its payload, if it has one, and options. */
export type SignalArguments<Payload, Tx> = undefined extends Payload
  ? [payload?: Payload, options?: SignalOptions<Tx>]
  : [payload: Payload, options?: SignalOptions<Tx>];

/** A run as its starter holds it. Given by {@link createSagas} and {@link createWorker}. */
export interface RunHandle<Result = unknown, Sig extends Signals = Signals, Tx = TransactionHandle> {
  /** The run's id, a UUID. */
  readonly id: string;
  /** Whether the call that gave this handle started the run; false when there was one with its key already. */
  readonly created: boolean;
  /**
   * False when the call that gave this handle asked for another input than the run with its key was started with: nothing was started,
   * and the run goes on with the input that it has. Compare it where a key is given again on purpose.
   */
  readonly sameInput: boolean;
  /** Rejects with HF_NOT_FOUND. */
  status(): Promise<RunView>;
  /**
   * Waits for the end. Rejects with HF_SAGA_UNDONE (`details.reason`: failed, cancelled or timed out; `cause`: the error it failed
   * with), HF_SAGA_STUCK, HF_NOT_FOUND, HF_RESULT_TIMEOUT. Waits on while the database is away. Keeps no process alive by itself.
   */
  result(options?: ResultOptions): Promise<Result>;
  /**
   * Leaves a signal for the run, which takes it in when its code waits for it. Rejects with HF_SIGNAL_UNKNOWN, HF_PAYLOAD_…,
   * HF_NOT_FOUND, HF_SAGA_FINISHED, HF_SAGA_UNDONE (it is being compensated), HF_SIGNALS_FULL (it keeps 1,000 or 16 MiB of signals that
   * its code has not waited for); nothing is written then.
   */
  signal<Name extends keyof Sig & string>(
    name: Name,
    ...rest: SignalArguments<StandardSchemaV1.InferInput<Sig[Name]>, Tx>
  ): Promise<void>;
  /**
   * Has the run compensated. Resolves when that is stored, or was under way already, with what is certain by then. Rejects with
   * HF_SAGA_FINISHED, HF_SAGA_PIVOTED, HF_NOT_FOUND; nothing is written then.
   *
   * @example
   * if ((await run.cancel()) === 'undecided') await run.result().catch(() => {}); // then run.status() has `refused`, or is compensated
   */
  cancel(options?: CancelOptions<Tx>): Promise<CancelAnswer>;
}

export interface HandleContext<Tx> {
  readonly store: ClientStore<Tx>;
  readonly watch: ResultWatch;
  readonly clock: Clock | undefined;
  readonly maxBytes: number;
}

/** The handle for a saga with its types forgotten. `ours`: the run is known to be of this saga. */
export function runHandle<Tx>(
  context: HandleContext<Tx>,
  saga: AnySaga,
  { id, created, ours, otherInput = false }: StartedRun & { readonly ours: boolean },
): RunHandle<unknown, Signals, Tx> {
  const { store, watch, clock = systemClock, maxBytes } = context;
  let checked = ours;

  function check(run: RunView): RunView {
    checked = true;
    if (run.saga === saga.name) return run;
    throw new HoldfastError('HF_NOT_FOUND', `Run ${id} is one of ${run.saga}, not of ${saga.name}.`, {
      advice: 'Take the handle of the saga that it was started with.',
      details: { run: id, saga: run.saga },
    });
  }

  /** An id from outside may be that of a run of another saga. A run that is not there yet may be in the caller's transaction. */
  async function checkOnce(): Promise<void> {
    if (checked) return;
    const [run] = await store.read([id]);
    if (run !== undefined) check(run);
  }

  async function wait(options: ResultOptions): Promise<RunView> {
    refuseUnknownOptions(options, ['timeout', 'signal'], `result of ${saga.name}`);
    const { timeout, signal } = options;
    if (timeout === undefined) return watch.wait(id, signal);
    const timeoutMs = parseDuration(timeout, `result of ${saga.name}: timeout`);
    const onTimeout = (): HoldfastError => notInTime(id, saga, timeoutMs);
    return withTimeout((inTime) => watch.wait(id, inTime), { timeoutMs, signal, onTimeout, clock });
  }

  return {
    id,
    created,
    sameInput: !otherInput,
    async status() {
      const [run] = await store.read([id]);
      if (run === undefined) throw notFound(id);
      return check(run);
    },
    async result(options = {}) {
      const run = check(await wait(options));
      if (isEncrypted(run.result)) throw cannotOpen('key', run.result.$enc);
      if (run.status === 'completed') return run.result;
      throw run.status === 'compensated' ? compensated(run) : await stuck(run, store);
    },
    async signal(name, ...[payload, options = {}]) {
      const where = `signal ${name} of ${saga.name}`;
      refuseUnknownOptions(options, ['tx', 'id'], where);
      const schema = Object.hasOwn(saga.signals, name) ? saga.signals[name] : undefined;
      if (schema === undefined) throw unknownSignal(saga, name);
      if (options.id !== undefined) assertShortText(options.id, `${where}: the id`, 200);
      const text = await encodeValidated(schema, payload, { maxBytes, where: `${saga.name}.${name}`, optional: true });
      await checkOnce();
      const body: RunMessageBody = {
        kind: 'signal',
        name,
        ...(text === undefined ? {} : { payload: JSON.parse(text) as unknown }),
        ...(options.id === undefined ? {} : { id: options.id }),
      };
      const answer = await store.postRunMessage(openTx(options), id, body, ['pending', 'running', 'waiting', 'stuck']);
      if (answer.accepted) return;
      throw signalRefused(answer, id, saga, name);
    },
    async cancel(options = {}) {
      const where = `cancel of ${saga.name}`;
      refuseUnknownOptions(options, ['tx', 'reason', 'actor'], where);
      const { reason, actor } = options;
      if (reason !== undefined) assertShortText(reason, `${where}: the reason`, 1_000);
      if (actor !== undefined) assertShortText(actor, `${where}: the actor`, 200);
      await checkOnce();
      const body: RunMessageBody = {
        kind: 'cancel',
        ...(reason === undefined ? {} : { reason }),
        ...(actor === undefined ? {} : { actor }),
      };
      const answer = await store.postRunMessage(openTx(options), id, body, ['pending', 'running', 'waiting', 'stuck']);
      if (answer.accepted) return answer.undecided === true ? 'undecided' : 'compensating';
      if (answer.status === 'compensating') return 'compensating';
      throw refused(answer, id, saga, 'cannot be cancelled');
    },
  };
}

/** The transaction of the options; null for none. Something that is missing by mistake must not be taken for that. */
function openTx<Tx>({ tx }: InTransaction<Tx>): Tx | null {
  if (tx === null)
    throw new HoldfastError('HF_TX_UNSUPPORTED', 'null is no transaction handle.', {
      advice: 'Leave `tx` out to send at once.',
    });
  return tx ?? null;
}

function notInTime(id: string, saga: AnySaga, timeoutMs: number): HoldfastError {
  return new HoldfastError('HF_RESULT_TIMEOUT', `Run ${id} of ${saga.name} did not end within ${timeoutMs} ms.`, {
    advice: 'It goes on: ask again with sagas.handle(saga, id).result().',
    details: { run: id, timeoutMs },
  });
}

function signalRefused(
  answer: PostAnswer & { readonly accepted: false },
  id: string,
  saga: AnySaga,
  name: string,
): HoldfastError {
  if (answer.status === 'compensating')
    return new HoldfastError('HF_SAGA_UNDONE', `Run ${id} of ${saga.name} is being compensated and takes no signals.`, {
      details: { run: id },
    });
  if (answer.limit !== undefined) return tooLargeForWorkers(`signal ${name} of ${saga.name}`, answer.limit);
  return answer.full === true ? signalsFull(id, saga, name) : refused(answer, id, saga, 'takes no signals');
}

function refused(
  answer: PostAnswer & { readonly accepted: false },
  id: string,
  saga: AnySaga,
  what: string,
): HoldfastError {
  const { status, pivoted } = answer;
  if (status === null) return notFound(id);
  const details = { run: id, saga: saga.name, status };
  const ended = status === 'completed' || status === 'compensated';
  if (pivoted && !ended)
    return new HoldfastError('HF_SAGA_PIVOTED', `Run ${id} of ${saga.name} has passed its pivot and ${what}.`, {
      advice: 'Let it end, and compensate its effect in the business.',
      details,
    });
  return new HoldfastError('HF_SAGA_FINISHED', `Run ${id} of ${saga.name} is ${status} and ${what}.`, {
    advice: 'See how it ended with handle.status().',
    details,
  });
}

function signalsFull(id: string, saga: AnySaga, name: string): HoldfastError {
  return new HoldfastError(
    'HF_SIGNALS_FULL',
    `Run ${id} of ${saga.name} keeps as many signals as a run may that its code has not waited for; ${name} was not added.`,
    {
      advice:
        `At most ${MOST_SIGNALS.count} signals or ${MOST_SIGNALS.bytes} bytes of them are kept. Send it again when the run has taken ` +
        'some; look with `holdfast saga show` what it waits for.',
      details: { run: id, saga: saga.name, signal: name },
    },
  );
}

function unknownSignal(saga: AnySaga, name: string): HoldfastError {
  const known = Object.keys(saga.signals);
  const near = didYouMean(name, known);
  return new HoldfastError('HF_SIGNAL_UNKNOWN', `${saga.name} has no signal ${JSON.stringify(name)}.`, {
    advice:
      near === undefined ? `It declares: ${known.join(', ') || 'none'}.` : `Did you mean ${JSON.stringify(near)}?`,
    details: { saga: saga.name, signal: name },
  });
}

const COMPENSATED = {
  failed: 'failed and was compensated',
  cancelled: 'was cancelled and compensated',
  'timed out': 'ran out of time and was compensated',
} as const;

function compensated(run: RunView): HoldfastError {
  const cause = causeOf(run);
  const { skipped } = run;
  const how = run.reason === null ? 'was compensated' : COMPENSATED[run.reason];
  const but = skipped.length === 0 ? '' : `, but for ${skipped.join(', ')}, whose compensation was skipped`;
  return new HoldfastError('HF_SAGA_UNDONE', `Run ${run.id} of ${run.saga} ${how}${but}${because(cause)}`, {
    details: { run: run.id, saga: run.saga, reason: run.reason, ...(skipped.length === 0 ? {} : { skipped }) },
    cause,
  });
}

async function stuck<Tx>(run: RunView, store: ClientStore<Tx>): Promise<HoldfastError> {
  const cause = causeOf(run);
  const event = (await store.journal(run.id)).flatMap((row) => row.events).findLast((each) => each.t === 'stuck');
  return new HoldfastError('HF_SAGA_STUCK', `Run ${run.id} of ${run.saga} is stuck${because(cause)}`, {
    advice: `See it with \`holdfast saga show ${run.id}\`.`,
    details: {
      run: run.id,
      saga: run.saga,
      ...(event === undefined ? {} : { why: event.why }),
      ...(event?.call === undefined ? {} : { call: event.call }),
    },
    cause,
  });
}

function because(cause: Error | undefined): string {
  return cause === undefined ? '.' : `: ${cause.message.replace(/\.$/, '')}.`;
}

/** What the run's code threw, as it was: an error of Holdfast with its class, another one with its name, code and details. */
function causeOf({ error }: RunView): Error | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const recorded = error as RecordedError;
  const rebuilt = rebuildError(recorded);
  if (rebuilt.code !== 'HF_STEP_FAILED' || isHoldfastError(Object.assign(new Error(), recorded), 'HF_STEP_FAILED'))
    return rebuilt;
  return asThrown(recorded);
}

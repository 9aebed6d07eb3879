/**
 * Starts runs, and speaks to them. The public door for services; workers, the command line and the test kit make theirs from the same
 * parts.
 */
import { HoldfastError } from '../../errors.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import { isUuid } from '../../message/id.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import type { Database } from '../../postgres/database.ts';
import type { TransactionHandle } from '../../postgres/executor.ts';
import type { Clock } from '../../runtime/clock.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { isTracing } from '../../runtime/telemetry.ts';
import {
  createRegistry,
  type AnySaga,
  type Registry,
  type Saga,
  type SagaInput,
  type SagaResult,
  type Signals,
} from '../definition/definition.ts';
import { encryptedClientStore } from '../store/encrypted-stores.ts';
import { createPostgresClientStore } from '../store/postgres/postgres-client-store.ts';
import { createResultWatch, type ResultWatch } from './result-watch.ts';
import { runHandle, type RunHandle } from './run-handle.ts';
import { isSaga, registered, startRequest, tooLargeForWorkers, type StartOptions } from './start-request.ts';
import { startOfRun, tracedRequest } from './start-span.ts';
import type { ClientStore, StartRequest } from '../store/store.ts';

/** The schemas of a saga's signals. */
export type SagaSignals<S extends AnySaga> = S extends Saga<never, unknown, infer Sig> ? Sig : never;

/** The handle of a run of a saga. */
export type HandleOf<S extends AnySaga, Tx = TransactionHandle> = RunHandle<SagaResult<S>, SagaSignals<S>, Tx>;

/**
 * Everything is checked before anything is written: errors of `start` are HF_SAGA_UNKNOWN, HF_PAYLOAD_INVALID, HF_PAYLOAD_NOT_JSON,
 * HF_PAYLOAD_TEXT, HF_PAYLOAD_TOO_LARGE, HF_KEY_EMPTY, HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN, HF_TX_UNSUPPORTED and
 * HF_NOT_IN_TRANSACTION. The statement itself may fail as any other one.
 */
export interface Sagas<Tx = TransactionHandle> {
  /** Starts a run at once: when it resolves, that is committed. */
  start<S extends AnySaga>(saga: S, input: SagaInput<S>, options?: StartOptions): Promise<HandleOf<S, Tx>>;
  /** Starts a run in the caller's open transaction: it is there if, and only if, that commits. */
  start<S extends AnySaga>(tx: Tx, saga: S, input: SagaInput<S>, options?: StartOptions): Promise<HandleOf<S, Tx>>;
  /** For a run that was started elsewhere or before. Asks nobody whether it is there. Throws HF_SAGA_UNKNOWN, HF_NOT_FOUND. */
  handle<S extends AnySaga>(saga: S, id: string): HandleOf<S, Tx>;
  /**
   * The run of a saga, in whatever version, that was started with a key; null when there is none, or retention has removed it. Rejects with HF_SAGA_UNKNOWN and errors of the database.
   *
   * @example
   * const run = await sagas.find(placeOrder, order.id);
   * if (run !== null) await run.cancel('the customer called');
   */
  find<S extends AnySaga>(saga: S, key: string): Promise<HandleOf<S, Tx> | null>;
  /** A registered saga, its types forgotten: to start what is known by name only. Default: its newest version. Throws HF_SAGA_UNKNOWN. */
  byName(name: string, version?: number): Saga;
}

/** Options of {@link createSagas}. */
export interface SagasOptions {
  readonly database: Database;
  /** All that is started or spoken to through this client, and the children of these. */
  readonly sagas: readonly AnySaga[];
  /**
   * Most UTF-8 bytes of an input or of a signal's payload as JSON.
   *
   * @defaultValue 1 MiB
   */
  readonly maxBytes?: number | undefined;
  /**
   * Makes inputs and payloads of signals unreadable where they are kept, and opens results. As the workers of these sagas have it.
   *
   * @defaultValue they are kept as they are
   */
  readonly codec?: PayloadCodec | undefined;
  /** @internal A seam of tests. */
  readonly clock?: Clock | undefined;
}

/**
 * Opens no connection and runs nothing by itself.
 *
 * @throws HoldfastError HF_SAGA_DEFINITION, HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * const sagas = createSagas({ database, sagas: [placeOrder] });
 * const run = await database.transaction((tx) => sagas.start(tx, placeOrder, { orderId: 'o-1' }, { key: 'o-1' }));
 * const { length } = await run.result({ timeout: '1m' });
 */
export function createSagas(options: SagasOptions): Sagas {
  refuseUnknownOptions(options, ['database', 'sagas', 'maxBytes', 'codec', 'clock'], 'createSagas');
  const { database, sagas, maxBytes, codec = null, clock } = options;
  const registry = createRegistry(sagas, 'createSagas');
  const store = encryptedClientStore(createPostgresClientStore({ database }), codec);
  return createSagasOn(store, { registry, maxBytes, clock, where: 'createSagas' }).sagas;
}

export interface SagasOnOptions {
  readonly registry: Registry;
  readonly maxBytes?: number | undefined;
  readonly clock?: Clock | undefined;
  /** What the options are called in errors. */
  readonly where: string;
  /**
   * Starts with neither key nor transaction: a worker puts them into its own commit, and resolves once that is made. It also tells
   * `watch` how its runs end.
   */
  readonly startFast?: ((request: StartRequest, saga: AnySaga) => Promise<void>) | undefined;
  /** With `startFast`: whether that worker has the run just now. */
  readonly here?: ((id: string) => boolean) | undefined;
}

/** A client on whatever keeps the runs. For workers and test kits, which tell `watch` of ends that they see. */
export function createSagasOn<Tx>(
  store: ClientStore<Tx>,
  { registry, maxBytes = DEFAULT_MAX_BYTES, clock, where, startFast, here }: SagasOnOptions,
): { readonly sagas: Sagas<Tx>; readonly watch: ResultWatch } {
  if (!Number.isInteger(maxBytes) || maxBytes < 2)
    throw new HoldfastError('HF_CONFIG', `${where}: maxBytes is ${String(maxBytes)}.`, {
      advice: 'Give a whole number of bytes.',
    });
  const watch = createResultWatch(store, {
    clock,
    here: startFast === undefined ? undefined : (here ?? (() => false)),
  });
  const context = { store, watch, clock, maxBytes };

  async function start(...given: readonly unknown[]): Promise<RunHandle<unknown, Signals, Tx>> {
    const { tx, saga: wanted, input, options = {} } = startArguments<Tx>(given);
    const saga = registered(registry, wanted);
    const span = isTracing() ? startOfRun(saga) : null;
    try {
      const request = tracedRequest(await startRequest(saga, input, options, maxBytes), span);
      // A name that the caller gave may be that of a run which is there.
      if (tx === null && request.key === null && options.id === undefined && startFast !== undefined) {
        await startFast(request, saga);
        return runHandle(context, saga, { id: request.id, created: true, ours: true });
      }
      const [started] = await store.start(tx, [request]);
      if (started === undefined) throw new Error('The store did not say what it started.');
      if (started.limit !== undefined) throw tooLargeForWorkers(`start of ${saga.name}`, started.limit);
      return runHandle(context, saga, { ...started, ours: true });
    } catch (error) {
      span?.fail(error);
      throw error;
    } finally {
      span?.end();
    }
  }

  const sagas = {
    start,
    handle(wanted: AnySaga, id: string) {
      if (!isSaga(wanted)) throw noSaga('sagas.handle', wanted, 'sagas.handle(placeOrder, id)');
      const saga = registered(registry, wanted);
      if (!isUuid(id))
        throw new HoldfastError('HF_NOT_FOUND', `There is no run ${JSON.stringify(id) ?? typeof id}: ids are UUIDs.`);
      return runHandle(context, saga, { id: id.toLowerCase(), created: false, ours: false });
    },
    async find(wanted: AnySaga, key: string) {
      if (!isSaga(wanted)) throw noSaga('sagas.find', wanted, 'sagas.find(placeOrder, key)');
      const saga = registered(registry, wanted);
      const id = await store.find(saga.name, key);
      return id === null ? null : runHandle(context, saga, { id, created: false, ours: false });
    },
    byName: (name: string, version?: number) =>
      version === undefined ? registry.newest(name) : registered(registry, { name, version }),
  };
  // The types of a saga's input and result are known to the compiler alone.
  return { sagas: sagas as unknown as Sagas<Tx>, watch };
}

interface StartArguments<Tx> {
  readonly tx: Tx | null;
  readonly saga: AnySaga;
  readonly input: unknown;
  readonly options: StartOptions | undefined;
}

function startArguments<Tx>(given: readonly unknown[]): StartArguments<Tx> {
  const [first, second] = given;
  if (isSaga(first)) return { tx: null, saga: first, input: second, options: given[2] as StartOptions | undefined };
  if (!isSaga(second))
    throw noSaga('sagas.start', first, 'sagas.start(placeOrder, input) or sagas.start(tx, placeOrder, input)');
  if (first === undefined || first === null) {
    throw new HoldfastError('HF_TX_UNSUPPORTED', `sagas.start: ${String(first)} is no transaction handle.`, {
      advice: 'Leave the first argument out to start at once.',
    });
  }
  return { tx: first as Tx, saga: second, input: given[2], options: given[3] as StartOptions | undefined };
}

function noSaga(where: string, given: unknown, example: string): HoldfastError {
  const advice =
    typeof given === 'string' ? 'Find it by sagas.byName(name).' : `Write ${example}, with what saga({ … }) returned.`;
  return new HoldfastError('HF_SAGA_UNKNOWN', `${where} is given no saga.`, { advice });
}

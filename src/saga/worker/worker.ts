/**
 * A process that runs sagas: the public door. Claims runs, lets their code go on step by step, compensates what must be compensated, and hands
 * everything over when it stops.
 */
import { hostname } from 'node:os';
import { HoldfastError } from '../../errors.ts';
import type { PayloadCodec } from '../../message/codec.ts';
import type { SignaturesOptions } from '../../message/signing.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import type { Database } from '../../postgres/database.ts';
import type { TransactionHandle } from '../../postgres/executor.ts';
import { createWaker } from '../../postgres/wake-up.ts';
import { checkStart } from '../../postgres/start-checks.ts';
import { refuseTransactionPooler } from '../../postgres/pooler.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../../runtime/crash-point.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import { safeLogger, safeMetrics } from '../../runtime/observers.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { withoutErrorTexts } from '../../runtime/quiet-log.ts';
import type { Service } from '../../runtime/service.ts';
import type { Transport } from '../../transport/port.ts';
import { checkErrorLists, type ErrorLists } from '../definition/bugs.ts';
import type { Sagas } from '../client/client.ts';
import type { RecordedError } from '../journal/events.ts';
import { createRegistry, type AnySaga, type Registry } from '../definition/definition.ts';
import type { RunSettings } from '../run/run-settings.ts';
import { startLeaseKeeper } from './lease-keeper.ts';
import { createSagaPruneLoop } from './prune-loop.ts';
import { encryptedClientStore, encryptedWorkerStore } from '../store/encrypted-stores.ts';
import { createPostgresClientStore } from '../store/postgres/postgres-client-store.ts';
import { createPostgresWorkerStore } from '../store/postgres/postgres-worker-store.ts';
import { DEFAULT_JOURNAL_LIMITS, LARGEST_READABLE_BYTES, MOST_JOURNAL_BYTES } from '../journal/growth.ts';
import type { BrokerHealth } from '../../inbox/delivery/broker-monitor.ts';
import { createReplyConsumer } from '../protocol/replies.ts';
import { reviewSaga } from '../kinds/review.ts';
import { reviewUnderWay } from './start-review.ts';
import type { ShownSettings } from '../store/store.ts';
import type { OpenBreaker } from '../engine/admission.ts';
import { createWorkerCore, type WorkerProgress } from './worker-core.ts';
import { DEFAULT_REPLY_TOPIC } from '../protocol/wire.ts';

/** Options of {@link createWorker}. */
export interface WorkerOptions {
  readonly database: Database;
  /** All that it can run; several versions of one saga may stand side by side. */
  readonly sagas: readonly AnySaga[];
  /**
   * Shown in status.
   *
   * @defaultValue the host's name and the process id
   */
  readonly name?: string | undefined;
  /**
   * After a worker has died, its runs go on within this time.
   *
   * @defaultValue '15s'
   */
  readonly lease?: Duration | undefined;
  /**
   * Most runs at work at once. Runs that wait do not count.
   *
   * @defaultValue 1000
   */
  readonly concurrency?: number | undefined;
  /**
   * For how long its event loop may stand still at most, while a step computes, before its runs go to others; a thread
   * keeps the lease meanwhile.
   *
   * @defaultValue four times the lease
   */
  readonly standstill?: Duration | undefined;
  /**
   * Most runs kept in memory although they only wait, so that a reply finds them there.
   *
   * @defaultValue 1000
   */
  readonly waiting?: number | undefined;
  /** Where replies of participants come in. Without it, something else must feed them: createSagaReplies(). */
  readonly replies?:
    | {
        readonly transport: Transport;
        readonly destination?: string | undefined;
        readonly topic?: string | undefined;
        /**
         * Replies have to be signed with one of these keys, as `signatures` of a consumer says: without it, whoever can write to the broker
         * can answer in the name of a participant.
         *
         * @defaultValue replies are taken as they come
         */
        readonly signatures?: SignaturesOptions | undefined;
      }
    | undefined;
  /**
   * How long finished runs and their journals are kept.
   *
   * @defaultValue '30d'
   */
  readonly retention?: Duration | undefined;
  /**
   * Longest wait between two looks at the database when nothing happens.
   *
   * @defaultValue '1s'
   */
  readonly idlePoll?: Duration | undefined;
  /**
   * Most UTF-8 bytes of one value as JSON.
   *
   * @defaultValue 1 MiB
   */
  readonly maxBytes?: number | undefined;
  /**
   * Most events of one journal. A run whose next calls would need more is stuck, and goes on when it is retried under
   * a higher limit.
   *
   * @defaultValue 10,000
   */
  readonly maxEvents?: number | undefined;
  /**
   * Most UTF-8 bytes of one journal, at most 256 MiB. As above.
   *
   * @defaultValue 64 MiB
   */
  readonly maxJournalBytes?: number | undefined;
  /** Which errors are bugs, that make a run stuck, and which are meant, that compensate it, where a saga does not say so; see its `errors`. */
  readonly errors?: ErrorLists | undefined;
  /**
   * Takes out of an error what must not stand in a journal (its message, stack, cause and details), before it is
   * recorded; what it leaves is also what `run` catches. When it throws, only the name is recorded.
   *
   * @defaultValue nothing is taken out
   */
  readonly redactError?: ((error: RecordedError) => RecordedError) | undefined;
  /**
   * Makes the values of runs unreadable where they are kept (inputs, outputs, results, signals, replies, texts of errors), and the payloads of
   * the messages that runs send; opens those of replies. The log has no texts of errors then. Everybody who starts, runs or asks for
   * these sagas needs it, and whoever reads their messages.
   *
   * @defaultValue values are kept as they are
   */
  readonly codec?: PayloadCodec | undefined;
  readonly log?: Logger | undefined;
  readonly metrics?: Metrics | undefined;
  /** @internal A seam of tests. */
  readonly clock?: Clock | undefined;
  /** @internal A seam of tests. */
  readonly random?: (() => number) | undefined;
  /** @internal A seam of tests. */
  readonly crashPoint?: CrashPoint | undefined;
}

/** Runs sagas. Made by {@link createWorker}. */
export interface Worker extends Service {
  /** Of its present lease; changes when one was lost. */
  readonly id: string;
  /** Starts and speaks to runs. Starts outside a transaction go with the worker's own commits: the fastest way in. */
  readonly sagas: Sagas;
  readonly progress: WorkerProgress;
  /** Circuit breakers of steps that hold attempts up in this worker now. */
  readonly openBreakers: readonly OpenBreaker[];
  /** How the way of replies stands with its broker; null without `replies`. */
  repliesHealth(): BrokerHealth | null;
  /** One look at the database: timers, run messages, claims. */
  tick(): Promise<void>;
}

const KNOWN = [
  'database',
  'sagas',
  'name',
  'lease',
  'concurrency',
  'standstill',
  'waiting',
  'replies',
  'retention',
  'idlePoll',
  'maxBytes',
  'maxEvents',
  'maxJournalBytes',
  'errors',
  'redactError',
  'codec',
  'log',
  'metrics',
  'clock',
  'random',
  'crashPoint',
];

/**
 * The I/O points of a worker, each called with `:before` and `:after`.
 *
 * @example
 * const test = testSagas({ sagas: [placeOrder] });
 * for (const point of SAGA_CRASH_POINTS) test.crashAt(`${point}:after`);
 */
export const SAGA_CRASH_POINTS = [
  'saga.collect',
  'saga.claim',
  'saga.commit',
  'saga.step',
  'saga.transaction',
  'saga.compensation',
  'saga.verify',
  'saga.fallback',
] as const;

/** What the options are called in errors. */
const WHERE = 'createWorker';

/**
 * Opens nothing before `start`.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_SAGA_DEFINITION; `start` rejects with HF_SCHEMA_MISSING
 * @example
 * const worker = createWorker({ database, sagas: [placeOrder], replies: { transport } });
 * await worker.start();
 * const run = await worker.sagas.start(placeOrder, { orderId: 'o-1' });
 * console.log(await run.result());
 * await worker.stop();
 */
export function createWorker(options: WorkerOptions): Worker {
  refuseUnknownOptions(options, KNOWN, WHERE);
  const { database, clock = systemClock, replies, codec = null } = options;
  if (typeof database?.transaction !== 'function')
    throw badOption(WHERE, 'has no database', 'Give database: openDatabase({ url }).');
  const log = withoutErrorTexts(safeLogger(options.log), codec !== null).child({ part: 'worker' });
  const metrics = safeMetrics(options.metrics, log);
  const registry = createRegistry(options.sagas, WHERE);
  if (registry.all.length === 0) throw badOption(WHERE, 'has no sagas', 'Give sagas: [placeOrder].');
  const times = readTimes(options);
  const settings = readSettings(options);
  const plainStore = createPostgresWorkerStore({
    database,
    log,
    clock,
    ...(options.crashPoint === undefined ? {} : { crashPoint: options.crashPoint }),
    idleInTransactionMs: Math.ceil(times.leaseMs / 2),
    queryTimeoutMs: Math.min(10_000, Math.ceil((times.leaseMs * 2) / 3)),
    // Outcomes of what was under way are recorded also beyond the limit.
    largestJournalBytes: Math.min(2 * settings.maxJournalBytes, LARGEST_READABLE_BYTES),
  });
  const store = encryptedWorkerStore(plainStore, { codec, log });
  const concurrency = wholeNumber(options.concurrency, 1_000, 1, `${WHERE}.concurrency`);
  const waiting = wholeNumber(options.waiting, 1_000, 0, `${WHERE}.waiting`);
  const core = createWorkerCore<TransactionHandle>({
    store,
    clientStore: encryptedClientStore(createPostgresClientStore({ database }), codec),
    registry,
    name: options.name ?? `${hostname()}:${process.pid}`,
    leaseMs: times.leaseMs,
    concurrency,
    mostWaiting: waiting,
    settings,
    shown: shownSettings(registry, times, { concurrency, waiting }),
    clock,
    random: options.random ?? Math.random,
    log,
    metrics,
    crashPoint: options.crashPoint ?? noCrash,
    // A clock that is moved by hand knows no standstill.
    ...(clock === systemClock && times.standstillMs > times.leaseMs
      ? { keeper: (underWay) => startLeaseKeeper({ ...times, database, log, underWay }) }
      : {}),
    idlePollMs: times.idlePollMs,
    async setAsleep(asleep) {
      if (asleep && !waker.listening) return false;
      await waker.setAsleep(asleep);
      return asleep;
    },
  });
  const waker = createWaker({ database, sleeper: 'worker', onWake: () => core.wake(), log, clock });
  const replyConsumer =
    replies === undefined
      ? null
      : createReplyConsumer(
          { ...replies, database, log, metrics, clock, codec: options.codec, crashPoint: options.crashPoint },
          { take: (runId, body) => core.takeReply(runId, body), stored: () => core.wake() },
        );
  const pruneLoop = createSagaPruneLoop({ database, clock, log, retentionMs: times.retentionMs });

  const lifecycle = createLifecycle({
    make: () => null,
    async start() {
      await checkStart(database, log);
      sayRemarks(registry, log);
      await refuseTransactionPooler(database, 'The worker');
      await store.open();
      await waker.start();
      await core.start();
      void reviewUnderWay(database, registry.all, core.id, log);
      await Promise.all([replyConsumer?.start(), pruneLoop.start()]);
    },
    async stop(_run, stopOptions) {
      await Promise.all([core.stop(stopOptions), replyConsumer?.stop(stopOptions), pruneLoop.stop(stopOptions)]);
      await waker.stop(stopOptions);
      await store.close();
    },
  });

  return {
    get id() {
      return core.id;
    },
    sagas: core.sagas,
    get progress() {
      return core.progress;
    },
    get openBreakers() {
      return core.openBreakers;
    },
    repliesHealth: () => replyConsumer?.brokerHealth() ?? null,
    tick: () => core.tick(),
    start: lifecycle.start,
    stop: lifecycle.stop,
  };
}

/** In milliseconds. */
interface WorkerTimes {
  readonly leaseMs: number;
  readonly standstillMs: number;
  readonly retentionMs: number;
  readonly idlePollMs: number;
}

function readTimes(options: WorkerOptions): WorkerTimes {
  const { lease = '15s', standstill, retention = '30d', idlePoll = '1s' } = options;
  const leaseMs = parseDuration(lease, `${WHERE}.lease`);
  if (leaseMs < 1_000) throw badOption(WHERE, `has a lease of ${leaseMs} ms`, 'Give at least a second.');
  return {
    leaseMs,
    standstillMs: standstill === undefined ? 4 * leaseMs : parseDuration(standstill, `${WHERE}.standstill`),
    retentionMs: parseDuration(retention, `${WHERE}.retention`),
    idlePollMs: parseDuration(idlePoll, `${WHERE}.idlePoll`),
  };
}

function shownSettings(
  { all }: Registry,
  { leaseMs, standstillMs, retentionMs }: WorkerTimes,
  most: Pick<ShownSettings, 'concurrency' | 'waiting'>,
): ShownSettings {
  const limited = all.flatMap(({ name, version, concurrency }) =>
    concurrency === null ? [] : [[`${name}@${version}`, concurrency] as const],
  );
  return { ...most, leaseMs, standstillMs, retentionMs, sagas: Object.fromEntries(limited) };
}

function readSettings(options: WorkerOptions): RunSettings {
  return {
    maxBytes: wholeNumber(options.maxBytes, DEFAULT_MAX_BYTES, 2, `${WHERE}.maxBytes`),
    replyTo: options.replies?.topic ?? DEFAULT_REPLY_TOPIC,
    maxEvents: wholeNumber(options.maxEvents, DEFAULT_JOURNAL_LIMITS.maxEvents, 10, `${WHERE}.maxEvents`),
    maxJournalBytes: journalBytes(options.maxJournalBytes, `${WHERE}.maxJournalBytes`),
    errors: checkErrorLists(options.errors, WHERE, 'HF_CONFIG'),
    redactError: options.redactError,
    codec: options.codec ?? null,
  };
}

/** What is no mistake, and worth a second look. */
function sayRemarks(registry: Registry, log: Logger): void {
  for (const saga of registry.all)
    for (const { what, advice, ...remark } of reviewSaga(saga)) log.warn(remark, `a saga ${what}. ${advice}`);
}

function wholeNumber(given: number | undefined, preset: number, least: number, where: string): number {
  if (given === undefined) return preset;
  if (Number.isInteger(given) && given >= least) return given;
  throw new HoldfastError('HF_CONFIG', `${where} is ${String(given)}.`, {
    advice: `Give a whole number from ${least} on.`,
  });
}

function journalBytes(given: number | undefined, where: string): number {
  const bytes = wholeNumber(given, DEFAULT_JOURNAL_LIMITS.maxJournalBytes, 65_536, where);
  if (bytes <= MOST_JOURNAL_BYTES) return bytes;
  throw new HoldfastError('HF_CONFIG', `${where} is ${bytes}: more cannot be read back.`, {
    advice: `Give at most ${MOST_JOURNAL_BYTES}, and keep large values elsewhere.`,
  });
}

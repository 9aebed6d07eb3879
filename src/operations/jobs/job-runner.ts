/**
 * Works a job off. Each chunk is one transaction: lock the job, find what is next behind its position, act on it with its row of the audit,
 * note progress and position, renew the lease. The runner itself remembers nothing that counts, so it may die, lose its connection during a
 * COMMIT, or be taken over, on any line: whoever goes on asks the row where it stands.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { ClientBase } from 'pg';
import { isHoldfastError, type ErrorCode } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { LOCK_NOT_AVAILABLE, patientTransaction } from '../../postgres/lock-wait.ts';
import { passesByItself, sqlStateOf, translateSqlError } from '../../postgres/sql-state.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../../runtime/crash-point.ts';
import { describeError } from '../../runtime/describe-error.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { safeHook } from '../../runtime/observers.ts';
import { backoffMs, type RetryPolicy } from '../../runtime/retry.ts';
import { chunkSize, restMs, type JobExample, type JobSummary } from './job.ts';
import { endJob, giveJobBack, lockJob, noteProgress, readJob, takeJob, type JobProgress } from './job-store.ts';
import { parkedWork } from './parked-work.ts';
import { runWork } from './run-work.ts';
import type { JobWork, Picked } from './job-work.ts';

/** Options of {@link runJob}. */
export interface RunJobOptions {
  /** Told after each commit. */
  readonly onProgress?: ((job: JobSummary) => void) | undefined;
  /** Ends the work between two commits; the job stays open, and can be gone on with. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Who works on it, for others to see.
   *
   * @defaultValue host and process
   */
  readonly runner?: string | undefined;
  /**
   * When `signal` ends the work, or something keeps it from going on: whether a dashboard of the same database may go on with it by itself.
   * Without it the job rests until somebody says so, for whoever stopped it may have meant that.
   *
   * @defaultValue false
   */
  readonly handOver?: boolean | undefined;
}

/** Seams of tests. */
export interface JobRunnerParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly crashPoint: CrashPoint;
  /** For how long it has the job after each commit, in milliseconds. */
  readonly leaseMs: number;
}

/** Longer than a chunk and the rest after it take, in milliseconds. */
const LEASE_MS = 30_000;

/** The names of its crash points, each with `:before` and `:after`. */
export const JOB_CRASH_POINTS = ['job.take', 'job.commit', 'job.end', 'job.give-back'] as const;

/** As long as the server is away or locks are held; then the job is left open, and the caller told. */
const PASSING: RetryPolicy = { attempts: 30, baseMs: 100, capMs: 5_000, factor: 2, withinMs: Infinity };
/** Tries of a single act whose row is locked, before it is passed over. */
const TRIES_OF_LOCKED = 4;
/**
 * How long a chunk waits for a lock, in milliseconds: less than the server waits before it looks for a deadlock, so that it is never a relay
 * or a consumer whose statement is ended for it.
 */
const CHUNK_LOCK_MS = 400;

/**
 * Works on a job until it is done, aborted, or `signal` aborts; resolves with how it stands then. At once with one that has ended.
 * Rejects with HF_NOT_FOUND, with HF_LEASE_LOST while or when another one works on it, and with what keeps it from working at all: then the
 * job is left open, and can be gone on with by the same call.
 */
export async function runJob(database: Database, id: string, options: RunJobOptions = {}): Promise<JobSummary> {
  refuseUnknownOptions(options, ['onProgress', 'signal', 'runner', 'handOver'], 'runJob');
  const parts = { clock: systemClock, random: Math.random, crashPoint: noCrash, leaseMs: LEASE_MS };
  return workOff(database, id, options, parts);
}

/** The same, with the seams of tests. */
export async function workOff(
  database: Database,
  id: string,
  options: RunJobOptions,
  parts: JobRunnerParts,
): Promise<JobSummary> {
  // A name alone does not tell apart two runs of one process; who takes over is told by the epoch.
  const owner = options.runner ?? `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  parts.crashPoint('job.take:before');
  const epoch = await takeJob(database, id, { owner, leaseMs: parts.leaseMs });
  parts.crashPoint('job.take:after');
  if (epoch === null) return readJob(database, id);
  try {
    return await new JobRun(database, await readJob(database, id), epoch, { options, parts }).workOff();
  } catch (error) {
    // Whoever mends what was in the way need not wait for the lease to end. Not if it has another epoch by now.
    await giveJobBack(database, { id, epoch, handOver: options.handOver === true }).catch(() => {});
    throw error;
  }
}

class JobRun {
  readonly #database: Database;
  readonly #job: JobSummary;
  readonly #epoch: number;
  readonly #options: RunJobOptions;
  readonly #parts: JobRunnerParts;
  readonly #work: JobWork;
  /** What the chunk under way is for: known outside of its transaction, should that fail. */
  #picked: readonly Picked[] = [];
  /** So many are done one by one, because they failed together. */
  #alone = 0;
  /** In a row, without a commit in between. */
  #failures = 0;

  constructor(
    database: Database,
    job: JobSummary,
    epoch: number,
    { options, parts }: { readonly options: RunJobOptions; readonly parts: JobRunnerParts },
  ) {
    this.#database = database;
    this.#job = job;
    this.#epoch = epoch;
    this.#options = options;
    this.#parts = parts;
    this.#work = workOf(job);
  }

  async workOff(): Promise<JobSummary> {
    const { clock } = this.#parts;
    const { signal } = this.#options;
    const { id, rate } = this.#job;
    const onProgress = safeHook(this.#options.onProgress, 'onProgress of runJob');
    while (signal?.aborted !== true) {
      const startedMs = clock.monotonic();
      // Chunk by chunk: each begins where the one before it has ended.
      // oxlint-disable-next-line no-await-in-loop
      const acts = await this.#chunk();
      if (acts === 'failed') continue;
      if (acts === 'ended') return readJob(this.#database, id);
      // oxlint-disable-next-line no-await-in-loop
      if (this.#options.onProgress !== undefined) onProgress(await readJob(this.#database, id));
      const rest = restMs(acts, clock.monotonic() - startedMs, rate);
      // oxlint-disable-next-line no-await-in-loop
      if (rest > 0) await clock.sleep(rest, signal);
    }
    this.#parts.crashPoint('job.give-back:before');
    await giveJobBack(this.#database, { id, epoch: this.#epoch, handOver: this.#options.handOver === true });
    this.#parts.crashPoint('job.give-back:after');
    return readJob(this.#database, id);
  }

  /** Resolves with how many it has dealt with; 'failed': nothing was committed, and it is to be tried again. */
  async #chunk(): Promise<number | 'failed' | 'ended'> {
    const size = this.#alone > 0 ? 1 : chunkSize(this.#job.act.kind, this.#job.rate);
    this.#picked = [];
    try {
      const dealt = await this.#transaction(async (client, schema) => {
        const { state, position } = await lockJob(client, schema, { id: this.#job.id, epoch: this.#epoch });
        if (state !== 'open') return null;
        const picked = await this.#work.pick(client, { schema, job: this.#job.id, position, limit: size });
        this.#picked = picked;
        const last = picked.at(-1);
        if (last === undefined) {
          await endJob(client, schema, this.#job.id, 'done');
          return null;
        }
        const { done, passedOver } = await this.#work.act(client, schema, { job: this.#job, picked });
        await noteProgress(client, schema, this.#job.id, {
          position: last.position,
          done,
          passedOver: byCode(passedOver),
          failed: {},
          examples: passedOver,
          leaseMs: this.#parts.leaseMs,
        });
        return picked.length;
      });
      this.#failures = 0;
      if (dealt === null) return 'ended';
      this.#alone = Math.max(0, this.#alone - dealt);
      return dealt;
    } catch (error) {
      return this.#afterFailure(translateSqlError(error));
    }
  }

  async #afterFailure(error: Error): Promise<number | 'failed'> {
    const { clock, random } = this.#parts;
    const [only] = this.#picked;
    const locked = sqlStateOf(error) === LOCK_NOT_AVAILABLE || isHoldfastError(error, 'HF_LOCK_WAIT');
    const passing = locked || passesByItself(error) || isHoldfastError(error, 'HF_COMMIT_IN_DOUBT');
    this.#failures += 1;
    if (!passing && (only === undefined || !isOfTheAct(error))) throw error;
    if (only !== undefined && !(passing && !locked)) {
      // It is one of them: they are done one by one, and that one is told.
      if (this.#picked.length > 1) {
        this.#alone = this.#picked.length;
        return 'failed';
      }
      if (!locked || this.#failures >= TRIES_OF_LOCKED) return this.#passOver(only, error, locked);
    }
    if (this.#failures >= PASSING.attempts) throw error;
    await clock.sleep(backoffMs(PASSING, this.#failures, random), this.#options.signal);
    return 'failed';
  }

  /** Goes on behind a single one, and says why. */
  async #passOver({ subject, position }: Picked, error: Error, locked: boolean): Promise<number | 'failed'> {
    const code: ErrorCode | null = locked ? 'HF_LOCK_WAIT' : isHoldfastError(error) ? error.code : null;
    const counts = { [code ?? 'other']: 1 };
    const progress: JobProgress = {
      position,
      done: 0,
      passedOver: locked ? counts : {},
      failed: locked ? {} : counts,
      examples: [{ subject, code, message: describeError(error) }],
      leaseMs: this.#parts.leaseMs,
    };
    await this.#transaction(async (client, schema) => {
      const { state } = await lockJob(client, schema, { id: this.#job.id, epoch: this.#epoch });
      if (state === 'open') await noteProgress(client, schema, this.#job.id, progress);
    });
    this.#failures = 0;
    this.#alone = Math.max(0, this.#alone - 1);
    return 1;
  }

  async #transaction<T>(work: (client: ClientBase, schema: string) => Promise<T>): Promise<T> {
    const { crashPoint } = this.#parts;
    const doing = `Job ${this.#job.id} does not go on`;
    const result = await patientTransaction(this.#database, { doing }, async (client) => {
      await client.query(`SET LOCAL lock_timeout = ${CHUNK_LOCK_MS}`);
      const value = await work(client, this.#database.schema);
      crashPoint(value === null ? 'job.end:before' : 'job.commit:before');
      return value;
    });
    crashPoint(result === null ? 'job.end:after' : 'job.commit:after');
    return result;
  }
}

function workOf({ act }: JobSummary): JobWork {
  switch (act.kind) {
    case 'parked.retry':
    case 'parked.discard':
      return parkedWork(act);
    case 'saga.retry':
    case 'saga.cancel':
    case 'saga.skip':
    case 'saga.resolve':
      return runWork(act);
  }
}

/** What has nothing to do with the message or run that was acted on would be met by the next one as well. */
const OF_THE_WHOLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'HF_LEASE_LOST',
  'HF_NOT_FOUND',
  'HF_SCHEMA_MISSING',
  'HF_SCHEMA_MOVED',
  'HF_PERMISSION',
  'HF_DATABASE_READ_ONLY',
  'HF_DATABASE_TLS',
  'HF_DATABASE_POOLED',
  'HF_SEQUENCE_BEHIND',
  'HF_CONFIG',
  'HF_OPTION_UNKNOWN',
]);

function isOfTheAct(error: Error): boolean {
  return !isHoldfastError(error) || !OF_THE_WHOLE.has(error.code);
}

function byCode(examples: readonly JobExample[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { code } of examples) counts[code ?? 'other'] = (counts[code ?? 'other'] ?? 0) + 1;
  return counts;
}

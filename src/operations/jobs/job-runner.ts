/**
 * Works a job off. Each chunk is one transaction: lock the job, find what is next behind its position, act on it with its row of the audit,
 * note progress and position, renew the lease. At the end it comes back a few times to what was in somebody's hands. The runner itself
 * remembers nothing that counts, so it may die, lose its connection during a COMMIT, or be taken over, on any line: whoever goes on asks the
 * row where it stands.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { ClientBase } from 'pg';
import { isHoldfastError, type ErrorCode } from '../../errors.ts';
import type { Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { patientTransaction } from '../../postgres/lock-wait.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import { systemClock, type Clock } from '../../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../../runtime/crash-point.ts';
import { describeError } from '../../runtime/describe-error.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { safeHook } from '../../runtime/observers.ts';
import { backoffMs } from '../../runtime/retry.ts';
import { cameBack, comeBackAfterMs, countsOf, IN_HAND, nextInHand, withInHand } from './in-hand.ts';
import { afterFailure, isLocked, PASSING } from './job-failure.ts';
import { chunkSize, restMs, type JobSummary } from './job.ts';
import {
  endJob,
  giveJobBack,
  lockJob,
  noteProgress,
  readJob,
  takeJob,
  type JobProgress,
  type LockedJob,
} from './job-store.ts';
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

const PARTS: JobRunnerParts = { clock: systemClock, random: Math.random, crashPoint: noCrash, leaseMs: LEASE_MS };

/** The names of its crash points, each with `:before` and `:after`. */
export const JOB_CRASH_POINTS = ['job.take', 'job.commit', 'job.end', 'job.give-back'] as const;

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
  return workOff(database, id, options, PARTS);
}

/**
 * The same, because a person says so: that stands in the audit, by the commit that takes the job. Nothing does of one that has ended, or that
 * another one works on.
 */
export async function resumeAndRunJob(
  database: Database,
  id: string,
  resumedBy: Act,
  options: RunJobOptions = {},
): Promise<JobSummary> {
  return workOff(database, id, { ...options, resumedBy }, PARTS);
}

/** The same, with the seams of tests. */
export async function workOff(
  database: Database,
  id: string,
  options: RunJobOptions & { readonly resumedBy?: Act | undefined },
  parts: JobRunnerParts,
): Promise<JobSummary> {
  // A name alone does not tell apart two runs of one process; who takes over is told by the epoch.
  const owner = options.runner ?? `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  parts.crashPoint('job.take:before');
  const epoch = await takeJob(database, id, {
    owner,
    leaseMs: parts.leaseMs,
    resumedBy: options.resumedBy,
  });
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
  /** How often it has come back to what was in somebody's hands; 0: it goes through all for the first time. */
  #cameBack = 0;
  /** When it first did, on the monotonic clock. */
  #cameBackMs = 0;
  /** What it has tried since it came back last. */
  readonly #tried = new Set<string>();

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
      if (acts === 'waits') {
        // oxlint-disable-next-line no-await-in-loop
        await this.#waitToComeBack();
        continue;
      }
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
  async #chunk(): Promise<number | 'failed' | 'waits' | 'ended'> {
    const limit = this.#alone > 0 ? 1 : chunkSize(this.#job.act.kind, this.#job.rate);
    this.#picked = [];
    try {
      const dealt = await this.#transaction(async (client, schema) => {
        const locked = await lockJob(client, schema, { id: this.#job.id, epoch: this.#epoch });
        if (locked.state !== 'open') return null;
        const begin = { client, schema, locked, limit };
        return this.#cameBack === 0 ? this.#goOn(begin) : this.#comeBack(begin);
      });
      this.#failures = 0;
      if (dealt === null) return 'ended';
      if (dealt === 'waits') return 'waits';
      for (const subject of dealt.tried) this.#tried.add(subject);
      this.#alone = Math.max(0, this.#alone - dealt.acts);
      return dealt.acts;
    } catch (error) {
      return this.#afterFailure(translateSqlError(error));
    }
  }

  /** What is next behind the position. */
  async #goOn(begin: ChunkBegin): Promise<Dealt> {
    const { client, schema, locked, limit } = begin;
    const { id } = this.#job;
    const picked = await this.#work.pick(client, { schema, job: id, position: locked.position, limit, only: null });
    this.#picked = picked;
    const last = picked.at(-1);
    if (last === undefined) return this.#endOrWait(begin);
    const { done, passedOver } = await this.#work.act(client, schema, { job: this.#job, picked });
    await noteProgress(client, schema, id, {
      ...this.#nothingNew(locked),
      position: last.position,
      inHand: withInHand(locked.inHand, picked, passedOver),
      done,
      passedOver: countsOf(passedOver),
      examples: passedOver,
    });
    return { acts: picked.length, tried: [] };
  }

  /** What was in somebody's hands, and was not tried since. */
  async #comeBack(begin: ChunkBegin): Promise<Dealt> {
    const { client, schema, locked, limit } = begin;
    const { id } = this.#job;
    const asked = nextInHand(locked.inHand, this.#tried, limit);
    if (asked.length === 0) return this.#endOrWait(begin);
    const only = asked.map(({ position }) => position);
    const picked = await this.#work.pick(client, { schema, job: id, position: null, limit, only });
    this.#picked = picked;
    const acted = await this.#work.act(client, schema, { job: this.#job, picked });
    const back = cameBack(locked.inHand, asked, picked, acted);
    await noteProgress(client, schema, id, { ...this.#nothingNew(locked), ...back });
    return { acts: picked.length, tried: asked.map(({ subject }) => subject) };
  }

  /** All was dealt with, but for what is in somebody's hands. */
  async #endOrWait({ client, schema, locked }: ChunkBegin): Promise<'waits' | null> {
    const { id } = this.#job;
    if (locked.inHand.length > 0 && this.#nextComeBackMs() !== null) {
      await noteProgress(client, schema, id, this.#nothingNew(locked));
      return 'waits';
    }
    await endJob(client, schema, id, 'done');
    return null;
  }

  #nextComeBackMs(): number | null {
    const forMs = this.#cameBack === 0 ? 0 : this.#parts.clock.monotonic() - this.#cameBackMs;
    return comeBackAfterMs(this.#cameBack, forMs);
  }

  async #waitToComeBack(): Promise<void> {
    const { clock } = this.#parts;
    if (this.#cameBack === 0) this.#cameBackMs = clock.monotonic();
    const pauseMs = this.#nextComeBackMs() ?? 0;
    this.#cameBack += 1;
    this.#tried.clear();
    await clock.sleep(pauseMs, this.#options.signal);
  }

  /** The lease alone. */
  #nothingNew({ inHand }: LockedJob): JobProgress {
    const { leaseMs } = this.#parts;
    return { position: null, inHand, done: 0, passedOver: {}, failed: {}, examples: [], settled: [], leaseMs };
  }

  async #afterFailure(error: Error): Promise<number | 'failed'> {
    const { clock, random } = this.#parts;
    this.#failures += 1;
    const picked = this.#picked.length;
    const next = afterFailure(error, { picked, failures: this.#failures, isBack: this.#cameBack > 0 });
    const [only] = this.#picked;
    switch (next) {
      case 'end':
        throw error;
      case 'one by one':
        this.#alone = picked;
        return 'failed';
      case 'again':
        await clock.sleep(backoffMs(PASSING, this.#failures, random), this.#options.signal);
        return 'failed';
      case 'pass over':
        return only === undefined ? 'failed' : this.#passOver(only, error, isLocked(error));
    }
  }

  /** Goes on behind a single one, and says why. */
  async #passOver(only: Picked, error: Error, locked: boolean): Promise<number | 'failed'> {
    const { subject, position } = only;
    const code: ErrorCode | null = locked ? IN_HAND : isHoldfastError(error) ? error.code : null;
    const examples = [{ subject, code, message: describeError(error) }];
    const counts = locked ? { passedOver: countsOf(examples) } : { failed: countsOf(examples) };
    await this.#transaction(async (client, schema) => {
      const job = await lockJob(client, schema, { id: this.#job.id, epoch: this.#epoch });
      if (job.state !== 'open') return;
      const nothing = this.#nothingNew(job);
      const isBack = this.#cameBack > 0;
      // It is counted and told of already.
      if (isBack && locked) return noteProgress(client, schema, job.id, nothing);
      const { inHand, settled, passedOver } = isBack
        ? cameBack(job.inHand, [only], [only], { done: 0, passedOver: [] })
        : { ...nothing, inHand: withInHand(job.inHand, [only], examples) };
      const before = isBack ? { inHand, settled, passedOver } : { inHand, position };
      await noteProgress(client, schema, job.id, { ...nothing, ...before, ...counts, examples });
    });
    this.#failures = 0;
    this.#tried.add(subject);
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

interface ChunkBegin {
  readonly client: ClientBase;
  readonly schema: string;
  readonly locked: LockedJob;
  /** Acts at most. */
  readonly limit: number;
}

/** What a chunk has done; null: the job has ended. */
type Dealt = { readonly acts: number; readonly tried: readonly string[] } | 'waits' | null;

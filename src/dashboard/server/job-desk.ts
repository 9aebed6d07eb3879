/**
 * Works off acts on many. The jobs that are started here are taken up at once; from time to time it looks for those whose process died or
 * has handed them over, and goes on with them. What it has under way when the dashboard stops it hands over to the next one. It remembers
 * nothing that counts: a job that it loses is found again by its row.
 */
import { hostname } from 'node:os';
import { isHoldfastError } from '../../errors.ts';
import { runJob } from '../../operations/jobs/job-runner.ts';
import { abandonedJobs } from '../../operations/jobs/jobs.ts';
import type { Database } from '../../postgres/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { inNoContext } from '../../runtime/scope.ts';
import { ACTOR_PREFIX } from './who-asks.ts';

export interface JobDesk {
  /** Begins to work on it as soon as there is room. Does nothing when it is being worked on here already. */
  take(id: string): void;
  /** Resolves when all that was under way is handed over. */
  close(): Promise<void>;
}

export interface JobDeskOptions {
  /** Its connections are for jobs alone. */
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
}

/** They take turns on one connection, and each must come to its turn long before its lease ends. */
const MOST_AT_ONCE = 3;
/** Between two looks for jobs that somebody left. The first comes soon: the process before this one may have handed some over. */
const FIRST_LOOK_MS = 1_000;
const LOOK_EVERY_MS = 15_000;
/** After a look or a job that failed: what was in the way may still be. */
const REST_MS = 5 * 60_000;

export function createJobDesk(options: JobDeskOptions): JobDesk {
  const desk = new Desk(options);
  desk.open();
  return desk;
}

class Desk implements JobDesk {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #runner = `dashboard on ${hostname()}, process ${process.pid}`;
  readonly #closing = new AbortController();
  readonly #waiting = new Set<string>();
  readonly #working = new Map<string, Promise<void>>();
  /** When a job that failed here may be taken up again by itself. */
  readonly #restsUntil = new Map<string, number>();
  #looking: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor({ database, clock, log }: JobDeskOptions) {
    this.#database = database;
    this.#clock = clock;
    this.#log = log;
  }

  open(): void {
    this.#lookIn(FIRST_LOOK_MS);
  }

  take(id: string): void {
    if (this.#closing.signal.aborted || this.#working.has(id)) return;
    this.#waiting.add(id);
    this.#fill();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    this.#waiting.clear();
    await Promise.all([this.#looking, ...this.#working.values()]);
  }

  #fill(): void {
    for (const id of this.#waiting) {
      if (this.#working.size >= MOST_AT_ONCE) return;
      this.#waiting.delete(id);
      this.#working.set(
        id,
        inNoContext(() => this.#workOff(id)),
      );
    }
  }

  /** Never rejects. */
  async #workOff(id: string): Promise<void> {
    const log = this.#log;
    try {
      const { signal } = this.#closing;
      const { state, done } = await runJob(this.#database, id, { signal, runner: this.#runner, handOver: true });
      this.#restsUntil.delete(id);
      log.info({ job: id, done }, state === 'open' ? 'job handed over: the dashboard stops' : `job ${state}`);
    } catch (error) {
      // Another process was quicker.
      if (isHoldfastError(error, 'HF_LEASE_LOST')) log.debug({ job: id }, 'another process works on the job');
      else {
        this.#restsUntil.set(id, this.#clock.monotonic() + REST_MS);
        log.warn({ job: id, err: error }, 'a job does not go on; it is tried again in five minutes');
      }
    } finally {
      this.#working.delete(id);
      this.#fill();
    }
  }

  /** Nothing that would keep a process alive. */
  #lookIn(pauseMs: number): void {
    if (this.#closing.signal.aborted) return;
    const begin = (): void => {
      this.#looking = this.#look();
    };
    this.#timer = inNoContext(() => setTimeout(begin, pauseMs).unref());
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    let pauseMs = LOOK_EVERY_MS;
    try {
      for (const id of await abandonedJobs(this.#database, ACTOR_PREFIX)) if (!this.#rests(id)) this.take(id);
    } catch (error) {
      // A role that may not read them, tables of before, a server that is away: none of it is news to whoever looks at the page.
      this.#log.debug({ err: error }, 'cannot look for jobs that were left');
      if (isHoldfastError(error, 'HF_PERMISSION')) pauseMs = REST_MS;
    }
    this.#lookIn(pauseMs);
  }

  #rests(id: string): boolean {
    const until = this.#restsUntil.get(id);
    if (until === undefined) return false;
    if (until > this.#clock.monotonic()) return true;
    this.#restsUntil.delete(id);
    return false;
  }
}

/**
 * Lets a relay or a worker sleep without polling fast: writers NOTIFY only while it says that it is asleep. A missed wake-up costs no more than the idle poll interval.
 *
 * How to sleep: setAsleep(true), poll once more (a writer may have looked just before), then wait for onWake or the interval.
 */

import type pg from 'pg';
import { systemClock, type Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { createLifecycle, type Lifecycle } from '../runtime/lifecycle.ts';
import { createLoop, type Loop } from '../runtime/loop.ts';
import { backoffMs, RECONNECT } from '../runtime/retry.ts';
import type { Service, StopOptions } from '../runtime/service.ts';
import type { Database } from './database.ts';
import { quoteIdentifier } from './quoting.ts';

/** For each kind of sleeper: the channel it listens on, and the sequence in which it says that it sleeps (migrations/). */
const SLEEPERS = {
  relay: { channel: 'wake', asleep: 'relay_asleep' },
  worker: { channel: 'wake_worker', asleep: 'worker_asleep' },
} as const;

export interface WakerOptions {
  readonly database: Database;
  /** Who sleeps; default 'relay'. */
  readonly sleeper?: keyof typeof SLEEPERS | undefined;
  /** Called when a writer committed while asleep, and after each connection (something may have been missed before). */
  readonly onWake: () => void;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  /** How long the other end may take to answer, in milliseconds; for tests. Default 10,000. */
  readonly answerMs?: number | undefined;
}

/** `start` resolves without waiting for the connection; it reconnects by itself until stopped. */
export interface Waker extends Service {
  /** Whether notifications can arrive just now. While false, the sleeper polls fast instead of sleeping. */
  readonly listening: boolean;
  /**
   * Tells writers whether to notify. Seen by them at once. Any of its kind that stays awake may unset what another has set, so
   * who sleeps sets it again at each idle poll; that writes only when something changes. Rejects as the database does.
   */
  setAsleep(asleep: boolean): Promise<void>;
}

/** How long an answer is waited for, and how often it is asked whether the other end is still there, in milliseconds. */
const ANSWER_MS = 10_000;
const LOOK_EVERY_MS = 15_000;

const AWAKE = 1;
const ASLEEP = 2;

export function createWaker(options: WakerOptions): Waker {
  return new ListeningWaker(options);
}

class ListeningWaker implements Waker {
  readonly #options: WakerOptions;
  /** In which it is said who sleeps. */
  readonly #sequence: string;
  readonly #listen: string;
  readonly #loop: Loop;
  readonly #lifecycle: Lifecycle<null>;
  #client: pg.Client | undefined;
  #stopped = false;

  constructor(options: WakerOptions) {
    const { database, sleeper = 'relay', log, clock = systemClock } = options;
    const { channel, asleep } = SLEEPERS[sleeper];
    const schema = quoteIdentifier(database.schema);
    this.#options = options;
    // The channel's name has double quotes in it, because the migrator replaces "holdfast" inside the NOTIFY as well.
    this.#listen = `LISTEN ${quoteIdentifier(`${schema}.${channel}`)}`;
    this.#sequence = `${schema}.${asleep}`;
    this.#loop = createLoop({
      name: 'wake-up',
      clock,
      log,
      tick: (signal) => this.#look(signal),
      onError: (_error, failures) => backoffMs(RECONNECT, failures, Math.random),
    });
    this.#lifecycle = createLifecycle({
      make: () => null,
      start: async () => {
        this.#stopped = false;
        await this.#loop.start();
      },
      stop: async (_run, stop) => {
        this.#stopped = true;
        await this.#end();
        await this.#loop.stop(stop);
      },
    });
  }

  get listening(): boolean {
    return this.#client !== undefined;
  }

  start(): Promise<void> {
    return this.#lifecycle.start();
  }

  stop(options?: StopOptions): Promise<void> {
    return this.#lifecycle.stop(options);
  }

  async setAsleep(asleep: boolean): Promise<void> {
    const value = asleep ? ASLEEP : AWAKE;
    const text = `SELECT setval('${this.#sequence}', $1) FROM ${this.#sequence} WHERE last_value <> $1`;
    await this.#options.database.query(text, [value], { timeoutMs: ANSWER_MS });
  }

  async #look(signal: AbortSignal): Promise<number> {
    if (this.#stopped) return Infinity;
    // A hard stop does not wait for a server that does not answer; #connect cleans up by itself once it is told.
    await unlessAborted(signal, this.#client === undefined ? this.#connect() : this.#stillThere(this.#client));
    return LOOK_EVERY_MS;
  }

  async #connect(): Promise<void> {
    const { database, onWake, log, answerMs = ANSWER_MS } = this.#options;
    const next = await database.dedicatedConnection({
      queryTimeoutMs: answerMs,
      onLost: (error) => {
        if (this.#client !== next) return;
        this.#client = undefined;
        log.warn({ err: error }, 'the listening connection was lost; reconnecting');
        this.#loop.wake();
      },
    });
    next.on('notification', onWake);
    try {
      await next.query(this.#listen);
    } catch (error) {
      await next.end().catch(() => undefined);
      throw error;
    }
    this.#client = next;
    // Stopped meanwhile: nobody else would end it.
    if (this.#stopped) await this.#end();
    else onWake();
  }

  /** A connection whose other end fell silent brings no notification and no error either. */
  async #stillThere(asked: pg.Client): Promise<void> {
    try {
      await asked.query('SELECT 1');
    } catch (error) {
      if (this.#client === asked) await this.#end();
      throw error;
    }
  }

  async #end(): Promise<void> {
    const last = this.#client;
    this.#client = undefined;
    await last?.end().catch(() => undefined);
  }
}

/** Resolves with the promise, or when the signal aborts. Leaves no listener behind: one loop has one signal for all its reconnecting. */
async function unlessAborted(signal: AbortSignal, promise: Promise<void>): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/**
 * Lets a relay or a worker sleep without polling fast: writers NOTIFY only while it says that it is asleep.
 * Used by both. A missed wake-up costs no more than the idle poll interval.
 *
 * How to sleep: setAsleep(true), poll once more (a writer may have looked just before), then wait for onWake or the interval.
 */

import type pg from 'pg';
import { systemClock, type Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { createLifecycle } from '../runtime/lifecycle.ts';
import { createLoop } from '../runtime/loop.ts';
import { backoffMs, RECONNECT } from '../runtime/retry.ts';
import type { Service } from '../runtime/service.ts';
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

export function createWaker(wakerOptions: WakerOptions): Waker {
  const { database, sleeper = 'relay', onWake, log, clock = systemClock, answerMs = ANSWER_MS } = wakerOptions;
  const { channel, asleep: flag } = SLEEPERS[sleeper];
  const schema = quoteIdentifier(database.schema);
  // The channel's name has double quotes in it, because the migrator replaces "holdfast" inside the NOTIFY as well.
  const listen = `LISTEN ${quoteIdentifier(`${schema}.${channel}`)}`;
  const sequence = `${schema}.${flag}`;
  let client: pg.Client | undefined;
  let stopped = false;

  const end = async (): Promise<void> => {
    const last = client;
    client = undefined;
    await last?.end().catch(() => undefined);
  };

  const connect = async (): Promise<void> => {
    const next = await database.dedicatedConnection({
      queryTimeoutMs: answerMs,
      onLost: (error) => {
        if (client !== next) return;
        client = undefined;
        log.warn({ err: error }, 'the listening connection was lost; reconnecting');
        loop.wake();
      },
    });
    next.on('notification', onWake);
    try {
      await next.query(listen);
    } catch (error) {
      await next.end().catch(() => undefined);
      throw error;
    }
    client = next;
    // Stopped meanwhile: nobody else would end it.
    if (stopped) await end();
    else onWake();
  };

  /** A connection whose other end fell silent brings no notification and no error either. */
  const stillThere = async (asked: pg.Client): Promise<void> => {
    try {
      await asked.query('SELECT 1');
    } catch (error) {
      if (client === asked) await end();
      throw error;
    }
  };

  const loop = createLoop({
    name: 'wake-up',
    clock,
    log,
    tick: async (signal) => {
      if (stopped) return Infinity;
      // A hard stop does not wait for a server that does not answer; `connect` cleans up by itself once it is told.
      await unlessAborted(signal, client === undefined ? connect() : stillThere(client));
      return LOOK_EVERY_MS;
    },
    onError: (_error, failures) => backoffMs(RECONNECT, failures, Math.random),
  });

  const { start, stop } = createLifecycle({
    make: () => null,
    async start() {
      stopped = false;
      await loop.start();
    },
    async stop(_run, options) {
      stopped = true;
      await end();
      await loop.stop(options);
    },
  });

  return {
    get listening() {
      return client !== undefined;
    },
    start,
    stop,
    async setAsleep(asleep) {
      const value = asleep ? ASLEEP : AWAKE;
      await database.query(`SELECT setval('${sequence}', $1) FROM ${sequence} WHERE last_value <> $1`, [value], {
        timeoutMs: ANSWER_MS,
      });
    },
  };
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

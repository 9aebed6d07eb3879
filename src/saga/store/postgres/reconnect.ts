/**
 * Doing again what met a lost connection, until the database answers or the store is closed. Only for what may be done twice.
 */
import { HoldfastError } from '../../../errors.ts';
import { passesByItself } from '../../../postgres/sql-state.ts';
import type { Clock } from '../../../runtime/clock.ts';
import type { Logger } from '../../../runtime/log.ts';
import { backoffMs, RECONNECT, type RetryPolicy } from '../../../runtime/retry.ts';

/** Sooner than others: a run, or its whole worker, waits for what became of a commit. */
const SOON: RetryPolicy = { ...RECONNECT, baseMs: 50, capMs: 2_000 };

export interface ReconnectOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborted when the store is closed. */
  readonly closed: AbortSignal;
}

/** Rejects with what is no passing trouble, and with HF_STOPPED once the store is closed. */
export async function untilAnswered<T>(
  what: string,
  { clock, log, closed }: ReconnectOptions,
  attempt: (tries: number) => Promise<T>,
): Promise<T> {
  for (let failures = 0; ;) {
    try {
      return await attempt(failures);
    } catch (error) {
      if (!passesByItself(error)) throw error;
      failures += 1;
      log.warn({ err: error, failures }, `${what}: no answer from the database; trying again`);
      if (!closed.aborted) await clock.sleep(backoffMs(SOON, failures, Math.random), closed);
      if (closed.aborted)
        throw new HoldfastError(
          'HF_STOPPED',
          `The store was closed while it was not known what became of this: ${what}.`,
          { cause: error },
        );
    }
  }
}

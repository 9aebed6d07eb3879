/**
 * Lets a relay sleep without polling fast: writers NOTIFY only while it says that it is asleep.
 * Used by the relay. A missed wake-up costs no more than the relay's idle poll interval.
 */

import type { Logger } from '../runtime/log.ts';
import type { Service } from '../runtime/service.ts';
import type { Database } from './database.ts';

export interface WakerOptions {
  readonly database: Database;
  /** Called when a writer committed while asleep, and after each reconnection (something may have been missed). */
  readonly onWake: () => void;
  readonly log: Logger;
}

/** `start` resolves without waiting for the connection; it reconnects by itself until stopped. */
export interface Waker extends Service {
  /** Whether notifications can arrive just now. While false, a relay polls fast instead of sleeping. */
  readonly listening: boolean;
  /**
   * Tells writers whether to notify. Seen by them at once. Any relay that stays awake may unset what another has set, so a
   * sleeping relay sets it again at each idle poll. Rejects as the database does.
   */
  setAsleep(asleep: boolean): Promise<void>;
}

export function createWaker(_options: WakerOptions): Waker {
  throw new Error('not written yet');
}

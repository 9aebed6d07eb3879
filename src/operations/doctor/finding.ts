/**
 * What the doctor finds, and what a check is.
 */
import type { Database } from '../../postgres/database.ts';
import type { Duration } from '../../runtime/duration.ts';

/** One thing that {@link doctor} found. */
export interface Finding {
  /** error: something is broken or will lose messages. warn: it will hurt. note: worth knowing. */
  readonly level: 'error' | 'warn' | 'note';
  /** Stable name of the check, such as 'postgres.fsync'. */
  readonly check: string;
  readonly what: string;
  readonly advice: string;
}

/** Options of {@link doctor}. */
export interface DoctorOptions {
  /** Redis servers that carry messages. */
  readonly redisUrls?: readonly string[] | undefined;
  /**
   * Prefix of their queues.
   *
   * @defaultValue 'holdfast'
   */
  readonly redisPrefix?: string | undefined;
  /**
   * Age from which an open transaction counts as a burden.
   *
   * @defaultValue '5m'
   */
  readonly longTransaction?: Duration | undefined;
}

/** With defaults. */
export interface SettledOptions extends Pick<DoctorOptions, 'redisPrefix'> {
  readonly redisUrls: readonly string[];
  readonly longTransactionMs: number;
}

export type Check = (database: Database, options: SettledOptions) => Promise<readonly Finding[]>;

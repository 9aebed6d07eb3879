/**
 * What the doctor finds, and what a check is.
 */
import type { Database } from '../../postgres/database.ts';

export interface Finding {
  /** error: something is broken or will lose messages. warn: it will hurt. note: worth knowing. */
  readonly level: 'error' | 'warn' | 'note';
  /** Stable name of the check, such as 'postgres.fsync'. */
  readonly check: string;
  readonly what: string;
  readonly advice: string;
}

export interface DoctorOptions {
  /** Redis servers that carry messages. */
  readonly redisUrls?: readonly string[];
  /** Prefix of their queues. Default 'holdfast'. */
  readonly redisPrefix?: string;
  /** Age from which an open transaction counts as a burden, in milliseconds. Default 5 minutes. */
  readonly longTransactionMs?: number;
}

/** With defaults. */
export type SettledOptions = Required<Omit<DoctorOptions, 'redisPrefix'>> & Pick<DoctorOptions, 'redisPrefix'>;

export type Check = (database: Database, options: SettledOptions) => Promise<readonly Finding[]>;

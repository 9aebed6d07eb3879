/**
 * What the doctor finds, and what a check is. Used by doctor.ts and its checks.
 */
import type { Database } from '../postgres/database.ts';

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
  /** Age from which an open transaction counts as a burden, in milliseconds. Default 5 minutes. */
  readonly longTransactionMs?: number;
}

export type Check = (database: Database, options: Required<DoctorOptions>) => Promise<readonly Finding[]>;

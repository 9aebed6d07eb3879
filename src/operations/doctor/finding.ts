/**
 * What the doctor finds, and what a check is.
 */
import type { Database } from '../../postgres/database.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import type { Transport } from '../../transport/port.ts';
import { CHECKS, type CheckName } from './checks.ts';

/** One thing that {@link doctor} found. */
export interface Finding {
  /** error: something is broken or will lose messages. warn: it will hurt. note: worth knowing. */
  readonly level: 'error' | 'warn' | 'note';
  /** Stable name of the check, such as 'postgres.fsync'. docs/doctor.md lists them all. */
  readonly check: string;
  readonly what: string;
  /** Why it hurts. */
  readonly why: string;
  readonly advice: string;
  /** What mends it: a command of the shell, or SQL. The doctor runs none of it. Null: no command alone does. */
  readonly repair: string | null;
}

/** A finding as a check makes it; what is the same for all findings of the check is added by {@link explained}. */
export interface CheckFinding extends Pick<Finding, 'level' | 'what' | 'advice'> {
  readonly check: CheckName;
  readonly repair?: string | undefined;
}

/** Pure. */
export function explained({ level, check, what, advice, repair }: CheckFinding): Finding {
  return { level, check, what, why: CHECKS[check].why, advice, repair: repair ?? null };
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
  /** Other transports, whose brokers are to be asked for their queues. They are not closed. */
  readonly transports?: readonly Transport[] | undefined;
  /**
   * Age from which an open transaction counts as a burden.
   *
   * @defaultValue '5m'
   */
  readonly longTransaction?: Duration | undefined;
}

/** From where on something is told of. */
export interface DoctorLimits {
  /** Transactions that something holds back from vacuum. */
  readonly horizonXids: number;
  /** Dead rows of one table, which must also be more than the live ones. */
  readonly deadRows: number;
  /** Bytes of a table or an index that are more than it needs. */
  readonly wastedBytes: number;
  /** Transactions since the oldest that is not frozen. */
  readonly unfrozenXids: number;
  /** Bytes of WAL that one replication slot keeps. */
  readonly slotWalBytes: number;
  /** Part of the queue of notifications that is in use, from 0 to 1. */
  readonly notifyQueue: number;
  /** How long a session may wait for its client to read, in milliseconds. */
  readonly unreadMs: number;
  /** Difference of clocks, in milliseconds. */
  readonly clockMs: number;
}

const GIB = 1_073_741_824;

const LIMITS: DoctorLimits = {
  horizonXids: 1_000_000,
  deadRows: 100_000,
  wastedBytes: GIB,
  // Two fifths of the 2^31 there are: autovacuum freezes at a tenth, unless something keeps it from it.
  unfrozenXids: 860_000_000,
  slotWalBytes: 10 * GIB,
  notifyQueue: 0.1,
  unreadMs: 60_000,
  clockMs: 1_000,
};

/** With defaults. */
export interface SettledOptions extends Pick<DoctorOptions, 'redisPrefix'> {
  readonly redisUrls: readonly string[];
  readonly transports: readonly Transport[];
  readonly longTransactionMs: number;
  readonly limits: DoctorLimits;
}

/** Throws HF_OPTION_UNKNOWN or HF_DURATION. `limits`: for tests. */
export function settleDoctorOptions(options: DoctorOptions = {}, limits: Partial<DoctorLimits> = {}): SettledOptions {
  refuseUnknownOptions(options, ['redisUrls', 'redisPrefix', 'transports', 'longTransaction'], 'doctor');
  return {
    redisPrefix: options.redisPrefix,
    redisUrls: options.redisUrls ?? [],
    transports: options.transports ?? [],
    longTransactionMs: parseDuration(options.longTransaction ?? '5m', 'doctor.longTransaction'),
    limits: { ...LIMITS, ...limits },
  };
}

export type Check = (database: Database, options: SettledOptions) => Promise<readonly CheckFinding[]>;

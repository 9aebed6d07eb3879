/**
 * What a contestant of the saga benchmarks is: one way of running a saga, ours or written by hand.
 */
import type { Database } from '../../src/postgres/database.ts';

export type ContestantName =
  | 'local'
  | 'local-traced'
  | 'local-by-hand'
  | 'transaction'
  | 'transaction-by-hand'
  | 'command'
  | 'command-batch'
  | 'command-by-hand';

export interface Contestant {
  /** Starts run number n and resolves when its result is known and right. */
  readonly run: (n: number) => Promise<void>;
  /** Commits of runs until now; 0 for those who do not count them. */
  readonly commits: () => number;
  readonly close: () => Promise<void>;
}

export interface ContestantOptions {
  readonly database: Database;
  readonly redisUrl: string | null;
}

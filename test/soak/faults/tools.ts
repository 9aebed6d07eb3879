/**
 * What faults are made with, and what a kind of faults is.
 */
import type { PostgresServer } from '../../../src/servers/postgres.ts';
import type { RedisServer } from '../../../src/servers/redis.ts';
import type { Crew } from '../crew.ts';
import type { SoakDatabases } from '../servers.ts';

export interface FaultTools {
  readonly crew: Crew;
  readonly postgres: PostgresServer;
  readonly redis: RedisServer;
  readonly databases: SoakDatabases;
  /** In [0, 1). */
  readonly random: () => number;
  /** Whatever was sent before that time has been handled, in milliseconds since the epoch. */
  readonly settledMs: () => number;
  /** So many milliseconds, or until the load is over. */
  readonly pause: (ms: number) => Promise<void>;
  /** Shows what is not as it should be, until the fault is over. */
  readonly show: (what: string) => void;
}

export interface FaultKind {
  /** As it is counted and shown. */
  readonly kind: string;
  /** One fault of each side at a time. */
  readonly side: 'processes' | 'servers';
  /** Resolves when all is as before. What it does to servers that are away meanwhile may reject. */
  strike(tools: FaultTools): Promise<void>;
}

export function between(random: () => number, least: number, most: number): number {
  return least + random() * (most - least);
}

export function pick<T>(random: () => number, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)] as T;
}

/**
 * What the four services have in common. Each has a database of its own: its tables, and beside them an outbox and an inbox.
 */
import type { PoolClient } from 'pg';
import type { Database, Logger, Metrics, Outbox, Service, Transport } from '../../src/index.ts';
import type { CommonConsumerOptions } from '../../src/inbox/consumer-options.ts';
import type { CommandContext } from '../../src/saga/participant/handle.ts';
import type { World } from '../world.ts';
import type { Moods } from './moods.ts';

/** What a service is given to work with. */
export interface Kit {
  readonly database: Database;
  readonly outbox: Outbox;
  readonly transport: Transport;
  readonly world: World;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** How participants behave. */
  readonly moods: Moods;
  /**
   * How long consumers and participants keep what they remember.
   *
   * @defaultValue as they do by themselves
   */
  readonly keeping?: Pick<CommonConsumerOptions, 'retention' | 'redeliveryHorizon' | 'pruneInterval'>;
  /** What participants remember of calls. */
  readonly callRetention?: number;
}

export interface DemoService {
  readonly tables: string;
  /**
   * The table in which everything it does leaves exactly one row. No constraint keeps a second row out: should anything ever be done
   * twice, the audit must be able to see it.
   */
  readonly ledger: string;
  /** The rows it opens business with. */
  fill?(database: Database, world: World): Promise<unknown>;
  /** What it is given to go on with when all orders are done and the demo stays up. */
  refill?(database: Database): Promise<unknown>;
  /** Its handlers, as a consumer or a participant. */
  listen(kit: Kit): Service;
  /** What it does of its own accord. */
  work?(kit: Kit): Promise<void>;
}

/** Columns every ledger of a participant begins with: for which message, and for which call of which run. */
export const LEDGER = `
  position bigint GENERATED ALWAYS AS IDENTITY, message_id uuid NOT NULL, order_id text NOT NULL,
  run_id uuid NOT NULL, call text NOT NULL, effect text NOT NULL`;

/** The values of these columns. */
export function entry(
  { message, saga }: Pick<CommandContext<PoolClient>, 'message' | 'saga'>,
  orderId: string,
  effect: string,
): readonly (string | null)[] {
  return [message.id, orderId, saga?.runId ?? null, saga?.call ?? null, effect];
}

/** In place, quick and patient: nothing in the demo fails for good, so nothing should end up parked. */
export const RETRY = { attempts: 10, base: '10ms', cap: '500ms', within: '20s' } as const;

/** Messages a participant handles at once: some of them only wait. */
export const CONCURRENCY = 12;

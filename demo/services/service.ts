/**
 * What the four services have in common. Each has a database of its own: its tables, and beside them an outbox and an inbox.
 */
import type { Consumer, Database, Logger, Metrics, Outbox, Transport } from '../../src/index.ts';
import type { World } from '../world.ts';

/** What a service is given to work with. */
export interface Kit {
  readonly database: Database;
  readonly outbox: Outbox;
  readonly transport: Transport;
  readonly world: World;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface DemoService {
  readonly tables: string;
  /**
   * The table in which every message it handles leaves exactly one row (position, message_id, order_id). No constraint keeps a
   * second row out: should a message ever have two effects, the audit must be able to see them.
   */
  readonly ledger: string;
  /** The rows it opens business with. */
  fill?(database: Database, world: World): Promise<unknown>;
  /** Its handlers, as a consumer. */
  consumer(kit: Kit): Consumer;
  /** What it does of its own accord. */
  work?(kit: Kit): Promise<void>;
}

/** Columns every ledger begins with. */
export const LEDGER = 'position bigint GENERATED ALWAYS AS IDENTITY, message_id uuid NOT NULL, order_id text NOT NULL';

/** In place, quick and patient: nothing in the demo fails for good, so nothing should end up parked. */
export const RETRY = { attempts: 10, base: '10ms', cap: '500ms', within: '20s' } as const;

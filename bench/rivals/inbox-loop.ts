/**
 * The consumer that people write by hand: begin, insert into the inbox, insert the row, commit. No retries, no parking, no checks.
 */
import type { Pool } from 'pg';
import type { Delivery, Verdict } from '../../src/transport/port.ts';
import type { Order } from '../support/workload.ts';

export const INBOX_TABLE = 'public.inbox_by_hand';

export const INBOX_SCHEMA = `
  CREATE TABLE ${INBOX_TABLE} (
    consumer   text NOT NULL,
    message_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, message_id)
  )`;

/** What runs for each delivery. `effect` is the SQL of the row, `values` its parameters. */
export function handleByHand(
  pool: Pool,
  effect: string,
  values: (order: Order) => unknown[],
): (delivery: Delivery) => Promise<Verdict> {
  return async ({ wire }) => {
    const event = (typeof wire === 'string' ? JSON.parse(wire) : wire) as { id: string; data: Order };
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      const mark = await client.query(
        `INSERT INTO ${INBOX_TABLE} (consumer, message_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
        ['by-hand', event.id],
      );
      if (mark.rowCount === 1) await client.query(effect, values(event.data));
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
    return { kind: 'done' };
  };
}

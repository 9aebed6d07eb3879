/**
 * The ledger of the flood: takes what handlers have left, and adds it to what is known of each stream, in one transaction. So nothing counts
 * twice however the judge ends, and the table of what was handled stays small.
 */
import type { Database } from '../../../src/index.ts';
import { FLOODS } from '../flood/messages.ts';
import { NO_STREAMS, takeHandled, type StreamsState } from './streams.ts';

const ORDERED = new Set(FLOODS.filter(({ ordered }) => ordered).flatMap(({ streams }) => streams));
const WHAT = 'streams';

/** Rows that are taken at once. */
const MOST = 20_000;

export interface FloodLedger {
  /** Resolves with what is known now. */
  look(): Promise<StreamsState>;
}

export function openFloodLedger(sink: Database): FloodLedger {
  return {
    look: () =>
      sink.transaction(async (tx) => {
        const before = await tx.query<{ state: StreamsState }>('SELECT state FROM judged WHERE what = $1', [WHAT]);
        const state = before.rows[0]?.state ?? NO_STREAMS;
        // Of one stream that is ordered the rows that are to be seen have the order of their commits, and none before them is missing.
        const { rows } = await tx.query<{ stream: string; n: number }>(
          `WITH taken AS MATERIALIZED (SELECT position FROM seen ORDER BY position LIMIT $1),
             gone AS (DELETE FROM seen WHERE position IN (SELECT position FROM taken) RETURNING position, stream, n)
           SELECT stream, n::float8 AS n FROM gone ORDER BY position`,
          [MOST],
        );
        if (rows.length === 0) return state;
        const after = takeHandled(state, rows, (stream) => ORDERED.has(stream));
        await tx.query(
          'INSERT INTO judged (what, state) VALUES ($1, $2) ON CONFLICT (what) DO UPDATE SET state = excluded.state',
          [WHAT, JSON.stringify(after)],
        );
        return after;
      }),
  };
}

/** How far each stream has been sent. */
export async function readSent(flood: Database): Promise<ReadonlyMap<string, number>> {
  const { rows } = await flood.query<{ stream: string; n: number }>('SELECT stream, n::float8 AS n FROM counter');
  return new Map(rows.map(({ stream, n }) => [stream, n]));
}

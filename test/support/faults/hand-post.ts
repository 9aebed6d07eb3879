/**
 * A relay and a broker in the hand of a test: `carry` brings every message that has been committed to the outbox to the consumer of its
 * topic, and resolves when all are handled. So it is known when nothing is on its way. Consumers and participants are the real ones.
 */
import { encodeWire, type LogRow } from '../../../src/message/envelope.ts';
import type { Database } from '../../../src/postgres/database.ts';
import type { Delivery, Transport, Verdict } from '../../../src/transport/port.ts';

export interface HandPost {
  readonly transport: Transport;
  /** Resolves with how many messages were handled. What a consumer wants later is brought again the next time. */
  carry(): Promise<number>;
  /** Nothing is on its way: what is in the outbox now is not looked at again. */
  forget(): Promise<void>;
}

/** @param routes from topic to destination; messages of other topics are for nobody */
export function createHandPost(database: Database, routes: Readonly<Record<string, string>>): HandPost {
  const handlers = new Map<string, (delivery: Delivery) => Promise<Verdict>>();
  const hold = new AbortController();
  /** A message may be committed after one that has a higher number: what was brought is known by its own. */
  const brought = new Set<string>();
  let floor = 0;

  return {
    transport: {
      kind: 'by hand',
      publisher() {
        throw new Error('Messages go by the outbox.');
      },
      receiver: (destination, handle) => ({
        start: async () => void handlers.set(destination, handle),
        stop: async () => void handlers.delete(destination),
      }),
      close: async () => {},
    },
    async carry() {
      const { rows } = await database.query<LogRow>(
        `SELECT id, topic, key, payload::text, headers::text,
           to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time
         FROM holdfast.outbox WHERE seq > $1 ORDER BY seq`,
        [floor],
      );
      let handled = 0;
      for (const row of rows) {
        if (brought.has(row.id)) continue;
        const handle = handlers.get(routes[row.topic] ?? '');
        const delivery = { wire: encodeWire(row), redeliveries: 0, signal: hold.signal };
        const verdict = handle === undefined ? null : await handle(delivery);
        if (verdict !== null && verdict.kind !== 'done') continue;
        brought.add(row.id);
        handled += 1;
      }
      return handled;
    },
    async forget() {
      const { rows } = await database.query<{ seq: string | null }>('SELECT max(seq) AS seq FROM holdfast.outbox');
      floor = Number(rows[0]?.seq ?? 0);
      brought.clear();
    },
  };
}

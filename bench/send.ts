/**
 * outbox.send: what one call costs inside a transaction, beside a hand-written insert of the same row on the same connection.
 */
import type { Client } from 'pg';
import { createOutbox } from '../src/outbox/outbox.ts';
import { insertPlain, PLAIN_SCHEMA, PLAIN_TABLE } from './rivals/plain-insert.ts';
import { alternate, figure, median, type Benchmark } from './support/figure.ts';
import { order, OrderPlaced } from './support/workload.ts';

const SEND = 'outbox.send';
/** Messages in one block, which is one transaction: long enough that its commit does not count. */
const BLOCK = 100;

export const send: Benchmark = {
  names: [SEND],

  async run({ quick, servers, note }) {
    const blocks = quick ? 60 : 400;
    const bench = await servers.database();
    try {
      const client = await bench.connect();
      await client.query(PLAIN_SCHEMA);
      const outbox = createOutbox({ source: 'bench' });
      const contestants = [
        { name: 'holdfast', us: [] as number[], one: (n: number) => outbox.send(client, OrderPlaced, order(n)) },
        { name: 'insert', us: [] as number[], one: (n: number) => insertByHand(client, n) },
      ];
      for (let index = -20; index < blocks; index += 1) {
        for (const { us, one } of alternate(contestants, Math.abs(index))) {
          const perCall = await block(client, one);
          if (index >= 0) us.push(perCall);
        }
        if (index % 50 === 0) await bench.database.query(`TRUNCATE holdfast.outbox, ${PLAIN_TABLE}`);
      }
      await client.end();
      const [ours, byHand] = contestants.map(({ us }) => median(us)) as [number, number];
      note(`send: holdfast ${ours.toFixed(1)} us, insert ${byHand.toFixed(1)} us a message`);
      return [
        figure(
          { bench: SEND, value: ours, unit: 'us', against: 'insert', againstValue: byHand, target: { atMost: 1.25 } },
          { blocks, messagesPerBlock: BLOCK },
        ),
      ];
    } finally {
      await bench.drop();
    }
  },
};

function insertByHand(client: Client, n: number): Promise<void> {
  const payload = order(n);
  return insertPlain(client, OrderPlaced.topic, payload.customerId, payload);
}

/** Microseconds a call. The commit is not in it. */
async function block(client: Client, one: (n: number) => Promise<unknown>): Promise<number> {
  await client.query('BEGIN');
  const startedAt = performance.now();
  for (let n = 0; n < BLOCK; n += 1) await one(n);
  const tookMs = performance.now() - startedAt;
  await client.query('COMMIT');
  return (tookMs * 1000) / BLOCK;
}

/**
 * The writers that latency.ts measures, in a process of their own as in life: one process would wake writers and relay by the same
 * timers, and so always at the same moment. argv: database URL, messages, messages a second. Starts when told to by its parent,
 * and sends it when each message was committed.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { createOutbox } from '../src/outbox/outbox.ts';
import { monotonicMs } from './support/clock.ts';
import { order, OrderPlaced } from './support/workload.ts';

/** Message id, and when COMMIT had returned (monotonicMs). */
export type Committed = readonly [id: string, atMs: number];

const WRITERS = 8;
const [url = '', messages = '', perSecond = ''] = process.argv.slice(2);
const committed: Committed[] = [];
const outbox = createOutbox({ source: 'bench' });

const clients = Array.from({ length: WRITERS }, () => new Client({ connectionString: url }));
await Promise.all(clients.map((client) => client.connect()));
process.send?.('ready');
await once(process, 'message');
await atSteadyRate(Number(messages), Number(perSecond));
await Promise.all(clients.map((client) => client.end()));
process.send?.(committed);
process.disconnect();

/** Starts write n at n / rate seconds, or as soon as a writer is free. */
async function atSteadyRate(total: number, rate: number): Promise<void> {
  const startedAt = performance.now();
  let next = 0;
  const work = async (client: Client): Promise<void> => {
    while (next < total) {
      const n = next;
      next += 1;
      const aheadMs = startedAt + (n * 1000) / rate - performance.now();
      if (aheadMs > 0) await sleep(aheadMs);
      await write(client, n);
    }
  };
  await Promise.all(clients.map(work));
}

async function write(client: Client, n: number): Promise<void> {
  await client.query('BEGIN');
  const { id } = await outbox.send(client, OrderPlaced, order(n));
  await client.query('COMMIT');
  committed.push([id, monotonicMs()]);
}

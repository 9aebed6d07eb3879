/**
 * The writers that steady.ts measures, in a process of their own. argv: database URL, messages a second, seconds. Starts when told to by
 * its parent, tells it once a second of the marked messages that were committed, and says at the end how many messages there were.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { messageId } from '../src/message/id.ts';
import { monotonicMs } from './support/clock.ts';
import { order, OrderPlaced } from './support/workload.ts';

/** Id of a marked message, and when COMMIT had returned (monotonicMs). */
export type MarkedCommit = readonly [id: string, atMs: number];

export interface WritersNews {
  readonly committed: readonly MarkedCommit[];
  /** Messages committed until now. */
  readonly messages: number;
  readonly done: boolean;
}

const WRITERS = 4;
/** Of one transaction, as of a service that writes what one job has brought about. The last one is marked. */
const MESSAGES = 100;

const [url = '', perSecond = '', seconds = ''] = process.argv.slice(2);
const total = Math.ceil((Number(perSecond) * Number(seconds)) / MESSAGES);
const betweenMs = (1000 * MESSAGES) / Number(perSecond);
let committed: MarkedCommit[] = [];
let messages = 0;

const clients = Array.from({ length: WRITERS }, () => new Client({ connectionString: url }));
await Promise.all(clients.map((client) => client.connect()));
process.once('disconnect', () => process.exit(1));
process.send?.('ready');
await once(process, 'message');
const telling = setInterval(() => tell(false), 1_000);
await atSteadyRate();
clearInterval(telling);
await Promise.all(clients.map((client) => client.end()));
tell(true);
process.removeAllListeners('disconnect');
process.disconnect();

function tell(done: boolean): void {
  process.send?.({ committed, messages, done } satisfies WritersNews);
  committed = [];
}

/** Transaction n starts at n times `betweenMs`, or as soon as a writer is free. */
async function atSteadyRate(): Promise<void> {
  const startedAt = performance.now();
  let next = 0;
  const work = async (client: Client): Promise<void> => {
    while (next < total) {
      const n = next;
      next += 1;
      const aheadMs = startedAt + n * betweenMs - performance.now();
      if (aheadMs > 1) await sleep(aheadMs);
      await write(client, n);
    }
  };
  await Promise.all(clients.map(work));
}

async function write(client: Client, n: number): Promise<void> {
  const ids = Array.from({ length: MESSAGES }, messageId);
  // The writer's function, called as it is from other languages: what is measured is the log, and the processor is needed for it.
  const batch = ids.map((id, index) => orderText(id, n * MESSAGES + index)).join(',');
  await client.query('SELECT holdfast.write_outbox($1, false)', [`[${batch}]`]);
  messages += MESSAGES;
  committed.push([ids.at(-1) ?? '', monotonicMs()]);
}

function orderText(id: string, n: number): string {
  const payload = order(n);
  const { topic } = OrderPlaced;
  return JSON.stringify({
    id,
    topic,
    key: payload.customerId,
    payload,
    headers: { schemaversion: 1, source: 'bench' },
  });
}

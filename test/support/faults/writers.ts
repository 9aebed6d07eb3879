/**
 * Services that write at the same time, in every way a service may: random delays and rollbacks, savepoints, all isolation levels,
 * prepared transactions, bulk inserts; they reconnect when their connection breaks, and find out what became of a COMMIT in doubt.
 */
import pg from 'pg';
import { isHoldfastError } from '../../../src/errors.ts';
import { messageId } from '../../../src/message/id.ts';
import { item } from '../../../src/outbox/outbox.ts';
import { outbox, Tick, tick } from './domain.ts';
import type { Random } from './random.ts';

export interface WriterOptions {
  readonly url: string;
  readonly keys: readonly string[];
  readonly random: Random;
  /** Shares of transactions; default none of them. */
  readonly rollback?: number;
  readonly savepoint?: number;
  readonly prepared?: number;
  readonly bulk?: { readonly share: number; readonly rows: number };
  readonly isolation?: boolean;
  /** Longest wait between two statements, in milliseconds. */
  readonly delayMs?: number;
}

export interface Writers {
  /** Ids whose COMMIT was answered, or was in doubt and then found to have happened. */
  readonly acknowledged: string[];
  readonly counts: { committed: number; rolledBack: number; inDoubt: number; retried: number; prepared: number };
  /** Lets each writer finish its transaction. Rejects with what a writer could not explain. */
  stop(): Promise<void>;
}

/** What one transaction is to do, drawn beforehand so that it can be repeated as it was. */
interface Plan {
  readonly begin: string;
  readonly keys: readonly string[];
  readonly ids: readonly string[];
  readonly savepointFor: string | null;
  readonly bulk: number;
  readonly end: 'COMMIT' | 'ROLLBACK' | 'PREPARE';
}

export function startWriters(count: number, options: WriterOptions): Writers {
  const acknowledged: string[] = [];
  const counts = { committed: 0, rolledBack: 0, inDoubt: 0, retried: 0, prepared: 0 };
  let stopping = false;

  async function write(random: Random): Promise<void> {
    let client: pg.Client | null = null;
    while (!stopping) {
      const plan = draw(options, random);
      let inDoubt = false;
      for (;;) {
        try {
          client ??= await connect(options.url);
          await run(client, plan, options, random, counts);
          if (plan.end !== 'ROLLBACK') acknowledged.push(...plan.ids);
          break;
        } catch (error) {
          if (inDoubt && isHoldfastError(error, 'HF_MESSAGE_DUPLICATE')) {
            // It had happened. The unique index on the id waits for a COMMIT that is still under way, so this answer is final.
            acknowledged.push(...plan.ids);
            await client?.query('ROLLBACK').catch(() => {});
            break;
          }
          if (isConflict(error)) {
            counts.retried += 1;
            await client?.query('ROLLBACK').catch(() => {});
            continue;
          }
          if (!isLost(error)) throw error;
          inDoubt = true;
          counts.inDoubt += 1;
          await client?.end().catch(() => {});
          client = null;
          await pause(5 + random.next() * 20);
        }
      }
    }
    await client?.end().catch(() => {});
  }

  const lanes = Promise.all(Array.from({ length: count }, (_, index) => write(options.random.fork(`writer ${index}`))));
  lanes.catch(() => {});
  return {
    acknowledged,
    counts,
    async stop() {
      stopping = true;
      await lanes;
    },
  };
}

function draw(
  { keys, rollback = 0, savepoint = 0, prepared = 0, bulk, isolation = false }: WriterOptions,
  random: Random,
): Plan {
  const isBulk = bulk !== undefined && random.chance(bulk.share);
  const wanted = isBulk ? 1 : random.whole(1, 3);
  const levels = isolation ? ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] : ['READ COMMITTED'];
  // In one order, so that rows are not locked crosswise all the time; conflicts remain.
  const chosen = [...new Set(Array.from({ length: wanted }, () => random.pick(keys)))].toSorted();
  const rows = isBulk ? bulk.rows : chosen.length;
  const end = random.chance(rollback) ? 'ROLLBACK' : random.chance(prepared) ? 'PREPARE' : 'COMMIT';
  return {
    begin: `BEGIN ISOLATION LEVEL ${random.pick(levels)}`,
    keys: chosen,
    ids: Array.from({ length: rows }, () => messageId()),
    savepointFor: random.chance(savepoint) ? random.pick(chosen) : null,
    bulk: isBulk ? rows : 0,
    end,
  };
}

async function run(
  client: pg.Client,
  plan: Plan,
  { delayMs = 0 }: WriterOptions,
  random: Random,
  counts: Writers['counts'],
): Promise<void> {
  await client.query(plan.begin);
  if (plan.end === 'PREPARE') await client.query(`SET LOCAL holdfast.wake = 'off'`);
  for (const [index, key] of plan.keys.entries()) {
    if (delayMs > 0) await pause(random.next() * delayMs);
    if (plan.savepointFor === key) {
      await client.query('SAVEPOINT doubtful');
      await tick(client, key);
      await client.query('ROLLBACK TO SAVEPOINT doubtful');
    }
    if (plan.bulk > 0) await writeBulk(client, key, plan.ids);
    else await tick(client, key, { id: plan.ids[index] as string });
  }
  if (delayMs > 0) await pause(random.next() * delayMs);
  if (plan.end === 'PREPARE') {
    const name = `fault-${plan.ids[0]}`;
    await client.query(`PREPARE TRANSACTION '${name}'`);
    await pause(random.next() * delayMs * 4);
    await client.query(`COMMIT PREPARED '${name}'`);
    counts.prepared += 1;
  } else {
    await client.query(plan.end);
  }
  if (plan.end === 'ROLLBACK') counts.rolledBack += 1;
  else counts.committed += 1;
}

async function writeBulk(client: pg.Client, key: string, ids: readonly string[]): Promise<void> {
  const raised = await client.query<{ n: number }>('UPDATE counter SET n = n + $2 WHERE key = $1 RETURNING n', [
    key,
    ids.length,
  ]);
  const first = (raised.rows[0]?.n ?? 0) - ids.length + 1;
  await outbox.sendAll(
    client,
    ids.map((id, index) => item(Tick, { key, n: first + index }, { id })),
  );
  await client.query(
    'INSERT INTO fact (id, key, n) SELECT id, $2, $3::int + place::int - 1 FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, place)',
    [ids, key, first],
  );
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Serialization failure or deadlock: rolled back for certain. */
function isConflict(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown };
  return code === '40001' || code === '40P01';
}

/** The connection broke, or the server is not up: what was under way is in doubt. */
function isLost(error: unknown): boolean {
  if (isHoldfastError(error, 'HF_DATABASE_UNAVAILABLE')) return true;
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  return (
    /^(08|57P|ECONN|EPIPE)/.test(String(code)) || /terminated|closed|not queryable|ended by/i.test(String(message))
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

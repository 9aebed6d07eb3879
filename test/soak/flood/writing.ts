/**
 * One transaction of a writer of the flood: what it does is drawn first. Numbers are drawn under the lock of their stream, in the transaction
 * that sends them, so nobody has to find out what became of a COMMIT that was not answered: what the counter says has been sent.
 */
import type { PoolClient } from 'pg';
import { createOutbox, item, type Database } from '../../../src/index.ts';
import type { Flood } from './messages.ts';

/** What one transaction is to do. */
export interface WritePlan {
  readonly flood: Flood;
  /** In the order in which their locks are taken, which is that of all writers. */
  readonly parts: readonly { readonly stream: string; readonly messages: number }[];
  /** writer: all at once; sql: one by one, by the SQL function that any client can call. */
  readonly by: 'writer' | 'sql';
  /** A savepoint that is rolled back: nobody must hear of it. */
  readonly doubtful: boolean;
  readonly end: 'commit' | 'roll back';
}

const MOST_STREAMS = 2;
const MOST_MESSAGES = 12;

/** Pure. @param floods those to choose from: one at least */
export function drawPlan(random: () => number, floods: readonly Flood[]): WritePlan {
  const whole = (most: number): number => Math.floor(random() * most);
  const flood = floods[whole(floods.length)] as Flood;
  const streams = new Set(
    Array.from({ length: 1 + whole(MOST_STREAMS) }, () => flood.streams[whole(flood.streams.length)] as string),
  );
  return {
    flood,
    parts: [...streams].toSorted().map((stream) => ({ stream, messages: 1 + whole(MOST_MESSAGES) })),
    by: random() < 0.15 ? 'sql' : 'writer',
    doubtful: random() < 0.03,
    end: random() < 0.03 ? 'roll back' : 'commit',
  };
}

const PAD = 'x'.repeat(200);
const outbox = createOutbox({ source: 'flood' });

class RolledBack extends Error {}

/**
 * Resolves with the number that each stream has come to, when COMMIT was answered; null when it was rolled back as planned.
 * @param lastly called when all is written and nothing committed
 */
export async function writeFlood(
  database: Database,
  plan: WritePlan,
  lastly: () => void | Promise<void>,
): Promise<ReadonlyMap<string, number> | null> {
  const reached = new Map<string, number>();
  try {
    await database.transaction(async (tx) => {
      for (const { stream, messages } of plan.parts) {
        if (plan.doubtful) {
          await tx.query('SAVEPOINT doubtful');
          await send(tx, plan, stream, 1);
          await tx.query('ROLLBACK TO SAVEPOINT doubtful');
        }
        reached.set(stream, await send(tx, plan, stream, messages));
      }
      await lastly();
      if (plan.end === 'roll back') throw new RolledBack();
    });
  } catch (error) {
    if (error instanceof RolledBack) return null;
    throw error;
  }
  return reached;
}

async function send(tx: PoolClient, { flood, by }: WritePlan, stream: string, count: number): Promise<number> {
  const { rows } = await tx.query<{ n: string }>('UPDATE counter SET n = n + $2 WHERE stream = $1 RETURNING n', [
    stream,
    count,
  ]);
  const last = Number(rows[0]?.n);
  const drops = Array.from({ length: count }, (_, index) => {
    const n = last - count + 1 + index;
    return { stream, n, ...(n % 5 === 0 ? { pad: PAD } : {}) };
  });
  if (by === 'writer') {
    await outbox.sendAll(
      tx,
      drops.map((drop) => item(flood.type, drop)),
    );
  } else {
    for (const drop of drops)
      await tx.query('SELECT holdfast.send($1, $2, $3)', [
        flood.type.topic,
        JSON.stringify(drop),
        flood.type.keyOf(drop),
      ]);
  }
  return last;
}

/**
 * What the statements of ordered consumers and redrives read when much is parked: a few pages, however long the line of a key and
 * however large the table.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PARK_REASONS } from '../../src/inbox/handlers/decide.ts';
import { createInboxStore, type OrderedArrival } from '../../src/inbox/stores/inbox-store.ts';
import { createParkedDeliveryStore } from '../../src/inbox/stores/parked-delivery-store.ts';
import type { Row, SqlExecutor } from '../../src/postgres/executor.ts';
import { openLab, type Lab } from './lab.ts';

/** A page more or less, and pages of indexes; a scan of the line or of the table has hundreds. */
const FEW_PAGES = 60;
const idOf = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
const parked = createParkedDeliveryStore('holdfast', 'shipping');
const inbox = createInboxStore('holdfast', 'shipping');

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
  // 20,000 keys of one message each, then a key with a line of 10,000, whose first waits for a predecessor.
  await lab.test.pool.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, key, envelope, state, reason, next_attempt_at)
     SELECT 'shipping', ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'order.placed',
       CASE WHEN i > 20000 THEN 'hot' ELSE 'k' || i END,
       jsonb_build_object('time', '2026-01-01T00:00:00Z', 'predecessorid', '${idOf(99_999)}', 'data', repeat('x', 500)),
       CASE WHEN i > 20001 THEN 'behind' ELSE 'failed' END,
       CASE WHEN i = 20001 THEN $1 ELSE 'gave up after retries' END,
       CASE WHEN i > 20001 THEN NULL ELSE now() - interval '1 h' END
     FROM generate_series(1, 30000) i`,
    [PARK_REASONS.predecessor],
  );
  await lab.test.pool.query('ANALYZE holdfast.parked_delivery');
});
afterAll(() => lab.dispose());

interface Plan {
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
}

/** The most pages that one statement of `work` touches. */
async function pagesOf(work: (execute: SqlExecutor) => Promise<unknown>): Promise<number> {
  const client = await lab.test.pool.connect();
  let most = 0;
  const execute: SqlExecutor = async (sql, parameters) => {
    await client.query('SAVEPOINT look');
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${sql}`,
      [...parameters],
    );
    const plan = rows[0]?.['QUERY PLAN'][0].Plan;
    most = Math.max(most, (plan?.['Shared Hit Blocks'] ?? 0) + (plan?.['Shared Read Blocks'] ?? 0));
    await client.query('ROLLBACK TO look');
    return (await client.query(sql, [...parameters])).rows as readonly Row[];
  };
  await client.query('BEGIN');
  try {
    await work(execute);
    return most;
  } finally {
    await client.query('ROLLBACK');
    client.release();
  }
}

const arrival = (key: string): OrderedArrival => ({
  messageId: idOf(90_000),
  key,
  lock: '1',
  predecessorId: idOf(89_999),
  sentAt: '2027-01-01T00:00:00',
});
const line = { sentAt: '2027-01-01T00:00:00' };
const record = {
  topic: 't',
  envelope: '{}',
  state: 'behind',
  reason: 'r',
  error: null,
  attempts: 0,
  retryInMs: null,
} as const;

it.each<[string, (execute: SqlExecutor) => Promise<unknown>]>([
  ['the mark of a message whose key has a line', (execute) => mark(execute, 'hot')],
  ['the mark of a message whose key has none', (execute) => mark(execute, 'other')],
  ['where a message of the key stands', (execute) => inbox.orderedFacts(execute, arrival('hot'))],
  ['parking behind', (execute) => parked.insert(execute, { ...record, messageId: idOf(90_000), key: 'hot', line })],
  ['taking the first out', (execute) => parked.remove(execute, idOf(20_001))],
  ['taking one out that has a key of its own', (execute) => parked.remove(execute, idOf(7))],
  ['waking what waits', (execute) => parked.wakeSuccessor(execute, idOf(99_999), 'hot')],
  ['what is due', (execute) => parked.lockDue(execute, { limit: 4, ordered: true, topics: ['order.placed'] })],
  ['taking one up', (execute) => parked.lock(execute, idOf(20_001), true)],
])('%s', async (_what, work) => {
  expect(await pagesOf(work)).toBeLessThan(FEW_PAGES);
});

async function mark(execute: SqlExecutor, key: string): Promise<void> {
  const statement = inbox.orderedMarkStatements(arrival(key))[1];
  if (statement !== undefined) await execute(statement.sql, statement.parameters);
}

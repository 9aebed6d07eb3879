/**
 * Marks outlive duplicates, and do not stay for ever.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { on } from '../../src/inbox/handlers/handler.ts';
import { discardParkedDelivery } from '../../src/inbox/stores/parked-operations.ts';
import { checkInboxRetention } from '../../src/inbox/delivery/retention.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(async () => {
  await clean(lab);
  await lab.test.pool.query('TRUNCATE holdfast.subscription');
});
afterAll(() => lab.dispose());

const handlers = [on(Placed, () => {})];

async function subscription(name: string, retention: string | null): Promise<void> {
  await lab.test.pool.query(
    `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier, retention) VALUES ($1, pg_current_snapshot(), 0, 1, $2::interval)`,
    [name, retention],
  );
}

describe('the check at start', () => {
  it.each([
    { retentionMs: 1_001, fits: true },
    { retentionMs: 1_000, fits: false },
    { retentionMs: 999, fits: false },
  ])('asks for more than horizon and retries together: $retentionMs', ({ retentionMs, fits }) => {
    const refusal = checkInboxRetention({ consumer: 'c', retentionMs, horizonMs: 900, retriesMs: 100 });
    expect(refusal === null).toBe(fits);
    if (refusal !== null) expect(refusal.code).toBe('HF_INBOX_RETENTION');
  });

  it('refuses a retention shorter than the horizon given', async () => {
    const consumer = lab.make({ handlers, retention: '2d', redeliveryHorizon: '2d' });
    await expect(consumer.start()).rejects.toMatchObject({ code: 'HF_INBOX_RETENTION' });
  });

  it('reads the longest retention of the subscriptions when none is given', async () => {
    await subscription('a', '3 days');
    await subscription('b', '20 days');
    await subscription('c', null);
    const make = (retention: '14d' | '21d') => lab.make({ handlers, retention, redeliveryHorizon: undefined });
    await expect(make('14d').start()).rejects.toMatchObject({ details: { horizonMs: 20 * 86_400_000 } });
    const fitting = make('21d');
    await fitting.start();
    await fitting.stop();
  });

  it('assumes seven days when nothing tells', async () => {
    const short = lab.make({ handlers, retention: '6d', redeliveryHorizon: undefined });
    await expect(short.start()).rejects.toMatchObject({ code: 'HF_INBOX_RETENTION' });
    const fitting = lab.make({ handlers, redeliveryHorizon: undefined });
    await fitting.start();
    await fitting.stop();
  });
});

describe('pruning', () => {
  it('removes old marks of this consumer, in chunks, and nothing else', async () => {
    await lab.test.pool.query(`
      INSERT INTO holdfast.inbox SELECT 'shipping', gen_random_uuid(), now() - interval '15 days' FROM generate_series(1, 2500);
      INSERT INTO holdfast.inbox SELECT 'shipping', gen_random_uuid(), now() - interval '13 days' FROM generate_series(1, 3);
      INSERT INTO holdfast.inbox SELECT 'billing', gen_random_uuid(), now() - interval '15 days' FROM generate_series(1, 4);
      INSERT INTO holdfast.idempotency_key (key, fingerprint, created_at) VALUES ('old', 'f', now() - interval '25 hours'), ('new', 'f', now());
      INSERT INTO holdfast.delivery_attempt VALUES ('shipping', gen_random_uuid(), 1, now() - interval '15 days'),
        ('shipping', gen_random_uuid(), 1, now()), ('shipping', '00000000-0000-0000-0000-000000000000', 0, now() - interval '1 year')`);
    await lab.make({ handlers }).tickPrune();
    const { rows } = await lab.test.pool.query(
      'SELECT consumer, count(*)::int AS n FROM holdfast.inbox GROUP BY 1 ORDER BY 1',
    );
    expect(rows).toEqual([
      { consumer: 'billing', n: 4 },
      { consumer: 'shipping', n: 3 },
    ]);
    expect((await lab.test.pool.query('SELECT key FROM holdfast.idempotency_key')).rows).toEqual([{ key: 'new' }]);
    expect(await lab.count('delivery_attempt')).toBe(2);
  });

  it('keeps the mark of a message that is still parked', async () => {
    const failing = on(Placed, () => {
      throw new Error('no');
    });
    const consumer = lab.make({ handlers: [failing], retry: { attempts: 1 } });
    await consumer.handle(delivery(wire()));
    await lab.test.pool.query("UPDATE holdfast.inbox SET handled_at = now() - interval '1 year'");
    await consumer.tickPrune();
    expect(await lab.count('inbox')).toBe(1);
  });

  it('counts from the end: a message discarded or handled late is remembered from then on', async () => {
    let works = false;
    let runs = 0;
    const moody = on(Placed, () => {
      runs += 1;
      if (!works) throw new Error('no');
    });
    const consumer = lab.make({ handlers: [moody], retry: { attempts: 1 } });
    const [discarded, late] = [wire(), wire()];
    for (const sent of [discarded, late]) await consumer.handle(delivery(sent));
    await lab.test.pool.query("UPDATE holdfast.inbox SET handled_at = now() - interval '1 year'");
    await discardParkedDelivery(lab.database, 'shipping', discarded.id, { actor: 'ann', reason: 'test order' });
    works = true;
    await consumer.tickParked();
    await consumer.tickPrune();
    for (const sent of [discarded, late]) await consumer.handle(delivery(sent));
    expect(runs).toBe(3);
  });

  it('finds old marks by the index on time', async () => {
    const { rows } = await lab.test.pool.query<{ indexdef: string }>(
      "SELECT indexdef FROM pg_indexes WHERE indexname = 'inbox_handled_at'",
    );
    expect(rows[0]?.indexdef).toMatch(/brin \(handled_at\)/);
  });
});

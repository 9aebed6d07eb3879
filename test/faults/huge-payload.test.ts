/**
 * Payloads at the limit, over it, and over what the broker takes (I1, I2, I3, I13).
 *
 * Fails when a payload is measured in characters, when it is refused after something was written, and when one that the broker will
 * never take holds up other keys.
 */
import { expect, it } from 'vitest';
import { isHoldfastError } from '../../src/errors.ts';
import { tick, writeTicks } from '../support/faults/domain.ts';
import { createWorld } from '../support/faults/world.ts';

const LIMIT = 1_048_576;

/** A filler of two-byte characters that brings the payload of `key``n` to exactly this many bytes. */
function padTo(bytes: number, key: string, n: number): string {
  const rest = bytes - Buffer.byteLength(JSON.stringify({ key, n, pad: '' }));
  return 'é'.repeat(Math.floor(rest / 2)) + 'x'.repeat(rest % 2);
}

it('carries payloads of exactly the limit, and refuses one byte more without a trace', async () => {
  const world = await createWorld({ keys: ['a', 'b'] });
  try {
    await world.relay('relay', { subscription: { batchSize: 100 } });
    await world.consumer({ name: 'exact', ordered: true });
    const client = await world.pool.connect();
    for (let n = 1; n <= 12; n += 1) {
      await client.query('BEGIN');
      await tick(client, 'a', { pad: padTo(LIMIT, 'a', n) });
      await client.query('SAVEPOINT before');
      const refusal = await tick(client, 'b', { pad: padTo(LIMIT + 1, 'b', 1) }).catch((error: unknown) => error);
      expect(isHoldfastError(refusal, 'HF_PAYLOAD_TOO_LARGE')).toBe(true);
      // Refused before any statement: the transaction is still whole.
      await client.query('SELECT 1');
      await client.query('ROLLBACK TO SAVEPOINT before');
      await client.query('COMMIT');
    }
    client.release();
    await world.settled(['exact']);
    expect(await world.breaches({ consumers: ['exact'], orderedConsumers: ['exact'] })).toEqual([]);
    expect((await world.facts()).effects).toHaveLength(12);
  } finally {
    await world.close();
  }
});

it('parks what the broker will never take, with its key behind it, and delivers the rest', async () => {
  const world = await createWorld({ keys: ['a', 'b'], broker: { maxMessageBytes: 50_000 } });
  try {
    await writeTicks(world.pool, ['a', 'b'], 2);
    const client = await world.pool.connect();
    await client.query('BEGIN');
    const { id } = await tick(client, 'a', { pad: 'x'.repeat(60_000) });
    await client.query('COMMIT');
    client.release();
    await world.consumer({ name: 'exact', ordered: true });
    // Small pages, so that nothing of the key shares a batch with it.
    const relay = await world.relay('relay', { subscription: { batchSize: 1 } });
    await writeTicks(world.pool, ['a', 'b'], 3);
    await world.settled(['exact']);
    await relay.stop();
    const { committed } = await world.facts();
    const parked = committed.filter(({ key, n }) => key === 'a' && n >= 3).map((row) => row.id);
    expect(await world.breaches({ consumers: ['exact'], orderedConsumers: ['exact'], parked })).toEqual([]);
    const culprit = await world.pool.query(
      `SELECT id::text, error FROM holdfast.parked_message WHERE state = 'failed'`,
    );
    expect(culprit.rows).toEqual([{ id, error: expect.stringMatching(/bytes/) as unknown }]);
  } finally {
    await world.close();
  }
});

/**
 * A message of an ordered consumer is parked under the lock of its key: whoever has that lock and has read that nothing of the key is
 * parked may decide by it.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { on } from '../../src/inbox/handlers/handler.ts';
import { keyLock } from '../../src/inbox/stores/inbox-store.ts';
import { eventually } from '../support/eventually.ts';
import { delivery, openLab, Placed, signal, wire, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterAll(() => lab.dispose());

async function somebodyWaits(): Promise<boolean> {
  const { rows } = await lab.test.pool.query(
    `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  );
  return rows.length > 0;
}

it('nothing of a key is parked while somebody else has its lock', async () => {
  const holder = await lab.test.pool.connect();
  const locked = signal();
  const consumer = lab.make({
    ordered: true,
    retry: { attempts: 1 },
    handlers: [
      on(Placed, async () => {
        // Next in the line behind this transaction, so before the one that parks.
        void holder.query('SELECT pg_advisory_lock($1)', [keyLock('shipping', 'k')]).then(locked.fire);
        await eventually('the lock to be waited for', somebodyWaits);
        throw new Error('no');
      }),
    ],
  });
  let settled = false;
  const handled = consumer.handle(delivery(wire({ key: 'k' }))).finally(() => (settled = true));
  try {
    await locked.promise;
    await eventually('the lock to be asked for', async () => settled || (await somebodyWaits()));
    expect(await lab.parked()).toEqual([]);
  } finally {
    await holder.query('SELECT pg_advisory_unlock_all()');
    holder.release();
  }
  await handled;
});

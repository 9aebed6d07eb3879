/** What a relay finds when it takes a subscription: another cluster, other shards, its own name, a table that is not there. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { createSubscriptionStore } from '../../src/relay/subscription/subscription-store.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const expire = () => lab.database.query(`UPDATE holdfast.subscription SET lease_until = now() - interval '1 second'`);
const subscription = async () => (await lab.database.query('SELECT * FROM holdfast.subscription ORDER BY shard')).rows;

/** The xids of a cluster that has lived a billion transactions longer. */
const AGED = 1_000_000_000n;
async function moveRowsFromAnOlderCluster(): Promise<void> {
  await lab.database.query(`UPDATE holdfast.outbox SET xid = (xid::text::bigint + ${AGED})::text::xid8`);
  for (const row of await subscription()) {
    const [xmin, xmax, xip] = String(row['snapshot']).split(':') as [string, string, string];
    const aged = (xid: string) => (BigInt(xid) + AGED).toString();
    const running = xip === '' ? '' : xip.split(',').map(aged).join(',');
    await lab.database.query(
      'UPDATE holdfast.subscription SET snapshot = $1, system_identifier = 1 WHERE name = $2 AND shard = $3',
      [`${aged(xmin)}:${aged(xmax)}:${running}`, row['name'], row['shard']],
    );
  }
}

describe('a log that was moved here from another cluster', () => {
  it('is read once by a subscription that begins after the move', async () => {
    await lab.write({ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }, { n: 5 });
    await moveRowsFromAnOlderCluster();
    const { relay, transport } = await lab.relay({ batchSize: 2 });
    for (let round = 0; round < 6; round += 1) await relay.tick();
    await lab.write({ n: 6 });
    for (let round = 0; round < 3; round += 1) await relay.tick();
    expect(lab.numbers(transport)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('is not read by a subscription that begins after the move with what is new', async () => {
    await lab.write({ n: 1 }, { n: 2 });
    await moveRowsFromAnOlderCluster();
    const { relay, transport } = await lab.relay({ from: 'now' });
    await lab.write({ n: 3 });
    for (let round = 0; round < 3; round += 1) await relay.tick();
    expect(lab.numbers(transport)).toEqual([3]);
  });

  it('is read to the end also when the number of shards changes with the move', async () => {
    const before = await lab.relay();
    const late = await lab.database.pool.connect();
    await late.query('BEGIN');
    await lab.send(late, { n: 1 });
    await lab.write({ n: 2 });
    await before.relay.tick();
    expect(lab.numbers(before.transport)).toEqual([2]);
    await before.relay.stop();
    await late.query('COMMIT');
    late.release();
    await moveRowsFromAnOlderCluster();
    const after = await lab.relay({ shards: 2, failoverReplay: 'never' });
    for (let round = 0; round < 4; round += 1) await after.relay.tick();
    expect(lab.numbers(after.transport)).toEqual([1, 2]);
  });
});

describe('another number of shards', () => {
  it('never uses the epoch of an earlier lease again', async () => {
    const first = await lab.relay();
    await first.relay.tick();
    await first.relay.stop();
    const [before] = await subscription();
    const second = await lab.relay({ shards: 2 });
    await second.relay.tick();
    for (const row of await subscription())
      expect(Number(row['lease_epoch'])).toBeGreaterThan(Number(before?.['lease_epoch']));
  });
});

describe('taking a subscription', () => {
  it('leaves no connection behind when it fails half-way', async () => {
    const { relay } = await lab.relay();
    const readers = async () =>
      (
        await lab.database.query(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%plan_cache_mode%' AND pid <> pg_backend_pid()`,
        )
      ).rowCount;
    await lab.database.query('ALTER TABLE holdfast.parked_message RENAME TO parked_message_away');
    try {
      for (let round = 0; round < 3; round += 1) await expect(relay.tick()).rejects.toThrow('parked_message');
      await lab.until(async () => (await readers()) === 0);
    } finally {
      await lab.database.query('ALTER TABLE holdfast.parked_message_away RENAME TO parked_message');
    }
    await lab.write({ n: 1 });
    await relay.tick();
    expect(relay.states[0]?.role).toBe('active');
  });

  it('keeps two relays apart that were given the same name', async () => {
    const one = await lab.relay({}, { owner: 'pod-0' });
    const two = await lab.relay({}, { owner: 'pod-0' });
    await one.relay.tick();
    await two.relay.tick();
    expect(two.relay.states[0]?.role).toBe('standby');
    await lab.write({ n: 1 });
    await one.relay.tick();
    await two.relay.tick();
    expect([lab.numbers(one.transport), lab.numbers(two.transport)]).toEqual([[1], []]);
  });

  it('comes back at once to a lease whose COMMIT got no answer', async () => {
    const store = createSubscriptionStore({
      ...lab.database,
      async transaction(fn, options) {
        const result = await lab.database.transaction(fn, options);
        if (answered) return result;
        throw new HoldfastError('HF_COMMIT_IN_DOUBT', 'cut');
      },
    });
    let answered = true;
    const key = { name: 'main', shard: 0 };
    await store.ensure('main', { shards: 1, from: 'beginning', retentionMs: 1_000 });
    answered = false;
    for (let cut = 0; cut < 2; cut += 1)
      await expect(store.acquire(key, { owner: 'me', leaseMs: 60_000 })).rejects.toMatchObject({
        code: 'HF_COMMIT_IN_DOUBT',
      });
    answered = true;
    expect(await store.acquire(key, { owner: 'me', leaseMs: 60_000 })).toMatchObject({
      kind: 'acquired',
      lease: { epoch: 3, stalls: 0 },
    });
  });

  it('counts the death of a relay that comes back under its old name', async () => {
    const dead = await lab.relay({}, { owner: 'pod-0' });
    await dead.relay.tick();
    await expire();
    const heir = await lab.relay({}, { owner: 'pod-0' });
    await heir.relay.tick();
    expect(await subscription()).toMatchObject([{ stalls: 1 }]);
  });

  it('leaves no mark behind once nothing is suspect any more: a death after that has another cause', async () => {
    await lab.write({ n: 1 }, { n: 2 }, { n: 3 });
    const { relay, transport } = await lab.relay({ batchSize: 1 });
    const probe = { size: 1, left: 2, mark: null };
    await lab.database.query('UPDATE holdfast.subscription SET probe = $1', [JSON.stringify(probe)]);
    await relay.tick();
    await relay.tick();
    expect(await subscription()).toMatchObject([{ probe: null, high: '2' }]);
    expect(lab.numbers(transport)).toEqual([1, 2]);
  });

  it('does not take the loss of its connections for a death of what it was publishing', async () => {
    const { relay } = await lab.relay();
    await relay.tick();
    const probe = { size: 1, left: 10, mark: { seqs: [1], crashes: 1 } };
    await lab.database.query('UPDATE holdfast.subscription SET probe = $1', [JSON.stringify(probe)]);
    await lab.database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    await lab.write({ n: 1 });
    await lab.until(() =>
      relay.tick().then(
        () => true,
        () => false,
      ),
    );
    expect((await lab.database.query('SELECT 1 FROM holdfast.parked_message')).rowCount).toBe(0);
  });
});

/** One relay at a time writes a cursor: leases, takeover, shards. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const expire = () => lab.database.query(`UPDATE holdfast.subscription SET lease_until = now() - interval '1 second'`);

describe('lease', () => {
  it('lets one relay publish and the other stand by, which takes over when it is given back', async () => {
    const active = await lab.relay();
    const standby = await lab.relay();
    await active.relay.tick();
    await lab.write({ n: 1 });
    await standby.relay.tick();
    expect(standby.transport.sent).toEqual([]);
    expect(standby.relay.states[0]?.role).toBe('standby');
    await active.relay.tick();
    await active.relay.stop();
    await lab.write({ n: 2 });
    await standby.relay.tick();
    expect([lab.numbers(active.transport), lab.numbers(standby.transport)]).toEqual([[1], [2]]);
  });

  it('is taken over when it ran out, and the old holder can neither move the cursor nor park', async () => {
    const old = await lab.relay();
    await old.relay.tick();
    await lab.write({ n: 1, who: 'a' });
    // The old holder hangs in the middle of a publish; meanwhile its lease runs out.
    let release = () => {};
    let inPublish = false;
    old.transport.respond = async (batch) => {
      inPublish = true;
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return batch.map(() => ({ kind: 'refused', permanent: true, error: new Error('too late') }));
    };
    const ticking = old.relay.tick();
    await lab.until(async () => inPublish);
    await expire();
    const heir = await lab.relay();
    await heir.relay.tick();
    expect(lab.numbers(heir.transport)).toEqual([1]);
    release();
    await expect(ticking).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    expect((await lab.database.query('SELECT 1 FROM holdfast.parked_message')).rows).toEqual([]);
    await lab.write({ n: 2 });
    old.transport.respond = undefined;
    await old.relay.tick();
    await heir.relay.tick();
    expect([lab.numbers(old.transport), lab.numbers(heir.transport)]).toEqual([[], [1, 2]]);
  });

  it('stops publishing before its end by its own clock when it cannot be renewed', async () => {
    const { relay, transport } = await lab.relay({ lease: '2s' }, { clock: lab.skippingClock() });
    await relay.tick();
    await lab.write({ n: 1 });
    lab.skip(1_900);
    await expire();
    // Somebody else took it meanwhile.
    await lab.database.query(
      `UPDATE holdfast.subscription SET lease_epoch = lease_epoch + 1, lease_owner = 'other', lease_until = now() + interval '1 hour'`,
    );
    await expect(relay.tick()).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    expect(transport.sent).toEqual([]);
  });

  it('is looked at again after the broker was asked whether it is back, which may take long', async () => {
    const { relay, transport } = await lab.relay(
      { lease: '2s', breaker: { consecutiveFailures: 1, halfOpenAfter: 1 } },
      { clock: lab.skippingClock() },
    );
    await relay.tick();
    await lab.write({ n: 1 });
    let asked = false;
    transport.respond = async (batch) => {
      if (batch.length > 0 && asked) return batch.map(() => ({ kind: 'published' }));
      if (batch.length > 0) throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'nobody there');
      asked = true;
      lab.skip(1_900);
      await lab.database.query(
        `UPDATE holdfast.subscription SET lease_epoch = lease_epoch + 1, lease_owner = 'other', lease_until = now() + interval '1 hour'`,
      );
      return [];
    };
    await expect(relay.tick()).rejects.toMatchObject({ code: 'HF_LEASE_LOST' });
    expect([asked, transport.sent]).toEqual([true, []]);
  });

  it('survives the loss of every connection', async () => {
    const { relay, transport } = await lab.relay();
    await lab.write({ n: 1 });
    await relay.tick();
    await lab.database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    await lab.write({ n: 2 });
    await lab.until(() =>
      relay.tick().then(
        () => lab.numbers(transport).includes(2),
        () => false,
      ),
    );
    expect(lab.numbers(transport).filter((n) => n === 2)).toEqual([2]);
  });
});

describe('shards', () => {
  it('share the keys among relays, each key in order, and lose nothing when their number changes', async () => {
    const notes = (from: number) =>
      Array.from({ length: 40 }, (_, index) => ({ n: from + index, who: `k${index % 8}` }));
    const first = await lab.relay({ shards: 2 });
    await lab.write(...notes(0));
    await first.relay.tick();
    expect(first.transport.sent).toHaveLength(40);
    for (let key = 0; key < 8; key += 1) {
      const ofKey = first.transport.data<{ n: number; who: string }>().filter((note) => note.who === `k${key}`);
      expect(ofKey.map((note) => note.n)).toEqual([key, key + 8, key + 16, key + 24, key + 32]);
    }
    await first.relay.stop();
    await lab.write(...notes(100));
    const second = await lab.relay({ shards: 3 });
    await second.relay.tick();
    expect(new Set(lab.numbers(second.transport).filter((n) => n >= 100)).size).toBe(40);
  });

  it('refuses another number while somebody runs it', async () => {
    const { relay } = await lab.relay({ shards: 2 });
    await relay.tick();
    await expect(lab.relay({ shards: 3 })).rejects.toMatchObject({ code: 'HF_SHARDS_MISMATCH' });
  });
});

describe('progress', () => {
  it('is stored while pages go out, so that a crash repeats little', async () => {
    const { relay, transport } = await lab.relay({ batchSize: 2 });
    await lab.write({ n: 1 }, { n: 2 }, { n: 3 });
    await relay.tick();
    const high = async () => (await lab.database.query('SELECT high FROM holdfast.subscription')).rows[0]?.['high'];
    await lab.until(async () => (await high()) === '2');
    expect(lab.numbers(transport)).toEqual([1, 2]);
  });
});

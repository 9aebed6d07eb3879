/** A relay that stood still for longer than its lease, and lives: what was under way is not blamed for it. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HELD_UP, KILLED } from '../../src/relay/delivery/parking-store.ts';
import type { Relay, RelayOptions } from '../../src/relay/relay.ts';
import { LOSSES_BEFORE_PARKING } from '../../src/relay/subscription/poison.ts';
import { createSubscriptionStore } from '../../src/relay/subscription/subscription-store.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { published, type RecordingTransport } from '../support/recording-transport.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterEach(() => Promise.all(sleepers.splice(0).map((each) => each.goOn())));
afterAll(() => lab.close());

const LEASE_MS = 600_000;

/** A relay that stands still while it publishes, until it is let go. */
interface Sleeper {
  readonly relay: Relay;
  readonly transport: RecordingTransport;
  /** Takes the lease, and falls asleep as it publishes; resolves also when there is nothing that it would publish. */
  fallAsleep(): Promise<void>;
  /** Wakes up, and finds its lease lost. */
  wakeUp(): Promise<void>;
  /** The same, and stands by. */
  standBy(): Promise<void>;
  /** Wakes up under its lease, and goes on. */
  goOn(): Promise<void>;
}

const sleepers: Sleeper[] = [];

async function sleeper(options: Partial<RelayOptions> = {}): Promise<Sleeper> {
  const { relay, transport } = await lab.relay({ lease: LEASE_MS, publishTimeout: LEASE_MS, batchSize: 1 }, options);
  let letGo = (): void => {};
  let asleep: Promise<unknown> = Promise.resolve();
  const goOn = async (): Promise<void> => {
    transport.respond = undefined;
    letGo();
    await asleep;
  };
  const wakeUp = async (): Promise<void> => {
    await goOn();
    await lab.until(async () => {
      if (relay.states[0]?.role === 'active') await relay.tick().catch(() => {});
      return relay.states[0]?.role !== 'active';
    });
  };
  const made: Sleeper = {
    relay,
    transport,
    fallAsleep: () =>
      new Promise((resolve) => {
        transport.respond = (batch) =>
          new Promise((answer) => {
            letGo = () => answer(batch.map(() => published));
            resolve();
          });
        asleep = relay.tick().catch(() => {});
        void asleep.then(() => resolve());
      }),
    goOn,
    wakeUp,
    async standBy() {
      await wakeUp();
      await relay.tick();
      expect(relay.states[0]?.role).toBe('standby');
    },
  };
  sleepers.push(made);
  return made;
}

/** Two that take the lease from each other, and live: so often. */
async function flap(relays: readonly [Sleeper, Sleeper], times: number): Promise<Sleeper> {
  for (let time = 0; ; time += 1) {
    const [holder, other] = time % 2 === 0 ? relays : [relays[1], relays[0]];
    await holder.fallAsleep();
    if (time > 0) await other.standBy();
    if (time === times) return holder;
    await expire();
  }
}

/** The lease of whoever has it is over. */
const expire = () => lab.database.query(`UPDATE holdfast.subscription SET lease_until = now() - interval '1 second'`);
const row = async () =>
  (
    await lab.database.query(
      `SELECT lease_epoch::int AS epoch, stalls, to_json(lost_epochs) AS lost, to_json(lapsed_epochs) AS lapsed, probe,
         round(extract(epoch FROM lease_until - clock_timestamp()) / 600)::int AS leases FROM holdfast.subscription`,
    )
  ).rows[0] ?? {};
const parked = async () =>
  (await lab.database.query('SELECT seq::int, reason, error FROM holdfast.parked_message ORDER BY seq')).rows;

describe('a relay that lost its lease and lives', () => {
  it('says so: it does not count as dead any more', async () => {
    await lab.write({ n: 1 });
    const relays = [await sleeper(), await sleeper()] as const;
    await relays[0].fallAsleep();
    await expire();
    await relays[1].fallAsleep();
    expect(await row()).toMatchObject({ stalls: 1, lost: [1], lapsed: null });
    await relays[0].standBy();
    expect(await row()).toMatchObject({ stalls: 0, lost: [], lapsed: [1] });
  });

  it('says so also when it takes the lease over itself', async () => {
    await lab.write({ n: 1 });
    const relays = [await sleeper(), await sleeper()] as const;
    await relays[0].fallAsleep();
    await expire();
    await relays[1].fallAsleep();
    await relays[0].wakeUp();
    await expire();
    await relays[0].fallAsleep();
    expect(await row()).toMatchObject({ stalls: 1, lost: [2], lapsed: [1] });
  });

  it('takes back no death but its own', async () => {
    await lab.write({ n: 1 });
    const [first, second, third] = [await sleeper(), await sleeper(), await sleeper()];
    await first.fallAsleep();
    await expire();
    // Progress ends the count, and what is counted after it are others.
    await second.relay.tick();
    await lab.until(async () => (await row())['stalls'] === 0);
    await expire();
    await third.relay.tick();
    expect(await row()).toMatchObject({ stalls: 1, lost: [2] });
    await first.standBy();
    expect(await row()).toMatchObject({ stalls: 1, lost: [2], lapsed: null });
  });

  it('is counted as ever by a relay of before, which notes no epoch', async () => {
    await lab.write({ n: 1 });
    const relay = await sleeper();
    await relay.fallAsleep();
    await lab.database.query(
      `UPDATE holdfast.subscription SET lease_owner = 'older', lease_epoch = lease_epoch + 1, stalls = stalls + 1`,
    );
    await relay.standBy();
    expect(await row()).toMatchObject({ epoch: 2, stalls: 1, lost: null, lapsed: null });
  });

  it('has stood still as well when nobody else took the lease', async () => {
    const store = createSubscriptionStore(lab.database);
    const key = { name: 'main', shard: 0 };
    await store.ensure('main', { shards: 1, from: 'beginning', retentionMs: 1_000 });
    const take = () => store.acquire(key, { owner: 'me', leaseMs: LEASE_MS });
    await take();
    expect(await take()).toMatchObject({ lease: { epoch: 2, stalls: 0, lapsed: [] }, outlived: null });
    await expire();
    expect(await take()).toMatchObject({ lease: { epoch: 3, stalls: 0, lapsed: [2] }, outlived: null });
  });
});

describe('what was being published by relays that lost their lease and live', () => {
  it('is not parked, and goes out', async () => {
    await lab.write({ n: 1 });
    const relays = [await sleeper(), await sleeper()] as const;
    const last = await flap(relays, 7);
    expect(await parked()).toEqual([]);
    await last.goOn();
    await lab.until(async () => (await row())['lapsed'] === null);
    expect(await row()).toMatchObject({ stalls: 0, lost: null, probe: null });
    expect(lab.numbers(last.transport)).toContain(1);
  });

  it('is parked in the end when it holds up each of them, again and again', async () => {
    await lab.write({ n: 1 });
    const relays = [await sleeper(), await sleeper()] as const;
    await flap(relays, 4 + LOSSES_BEFORE_PARKING);
    expect(await parked()).toEqual([]);
    await expire();
    await relays[1].relay.tick();
    expect(await parked()).toMatchObject([{ seq: 1, reason: HELD_UP }]);
  });
});

describe('before a message is parked', () => {
  /** Looks often for a word, whatever the lease; its monotonic time is moved on by lab.skip(). */
  const watchful = (): Clock => {
    const clock = lab.skippingClock();
    return { ...clock, sleep: (ms, signal) => clock.sleep(ms === LEASE_MS / 10 ? 20 : ms, signal) };
  };

  /** A relay has died of message 1, it seems, and another one is publishing it now and stands still. */
  async function almostParked(): Promise<Sleeper> {
    await lab.write({ n: 1 });
    const relay = await sleeper();
    await relay.fallAsleep();
    const mark = { seqs: [1], crashes: 1, epochs: [0, 1], lapses: 0 };
    await lab.database.query(`UPDATE holdfast.subscription SET stalls = 3, probe = $1`, [
      JSON.stringify({ size: 1, left: 5, mark }),
    ]);
    await expire();
    return relay;
  }

  it('those that seem to have died of it are heard', async () => {
    const asleep = await almostParked();
    const heir = await sleeper({ clock: watchful() });
    const taking = heir.relay.tick();
    await lab.until(async () => (await row())['epoch'] === 2);
    await asleep.standBy();
    await taking;
    expect(await parked()).toEqual([]);
    expect(lab.numbers(heir.transport)).toEqual([1]);
  });

  it('a word is waited for one lease, and what comes later stands beside the message', async () => {
    const asleep = await almostParked();
    const heir = await sleeper({ clock: watchful() });
    let done = false;
    const taking = heir.relay.tick().then(() => (done = true));
    await lab.until(async () => (await row())['epoch'] === 2);
    expect(await parked()).toEqual([]);
    // Again and again, for nobody tells when it begins to wait.
    await lab.until(async () => {
      lab.skip(LEASE_MS / 2);
      return done;
    });
    await taking;
    expect(await parked()).toEqual([{ seq: 1, reason: KILLED, error: null }]);
    await asleep.standBy();
    expect(await parked()).toMatchObject([{ reason: KILLED, error: expect.stringMatching(/lives/) as unknown }]);
    expect(lab.numbers(heir.transport)).toEqual([]);
  });

  it('a stop ends the waiting, and leaves the mark to be found', async () => {
    await almostParked();
    const heir = await sleeper({ clock: watchful() });
    const taking = heir.relay.tick();
    await lab.until(async () => (await row())['epoch'] === 2);
    await heir.relay.stop();
    await taking;
    expect(await parked()).toEqual([]);
    expect(await row()).toMatchObject({ probe: { mark: { seqs: [1], crashes: 1 } } });
  });
});

describe('a lease under which relays get nowhere, and live', () => {
  it('is longer for a while', async () => {
    await lab.write({ n: 1 });
    const clock = lab.skippingClock();
    const relays = [await sleeper({ clock }), await sleeper({ clock })] as const;
    await flap(relays, 2);
    expect(await row()).toMatchObject({ lapsed: [1, 2], leases: 1 });
    await expire();
    await relays[1].fallAsleep();
    await relays[0].standBy();
    expect(await row()).toMatchObject({ lapsed: [1, 2, 3], leases: 2 });
    await relays[1].goOn();
    await lab.until(async () => (await row())['lapsed'] === null);
    expect(await row()).toMatchObject({ epoch: 4, leases: 2 });
    lab.skip(20 * LEASE_MS + 1);
    await relays[1].relay.tick();
    expect(await row()).toMatchObject({ epoch: 5, leases: 1 });
  });
});

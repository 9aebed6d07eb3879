/** Acts of people: each leaves its audit row, or nothing at all. */
import { describe, expect, it } from 'vitest';
import { discardParked, dropSubscription, retryParked } from '../../src/operations/parked/interventions.ts';
import { listParked, showParked } from '../../src/operations/parked/parked.ts';
import { relayStatus } from '../../src/operations/relay/relay-status.ts';
import { openDatabase } from '../../src/postgres/database.ts';
import { planReplay, requestReplay } from '../../src/operations/relay/replays.ts';
import { NOBODY, numberOf, useLab } from './lab.ts';

const lab = useLab();
const me = { actor: 'tester' };

describe('parked messages', () => {
  it('are listed from relays and consumers alike', async () => {
    const { ids } = await lab.withParked([{ n: 1 }, { n: 2 }], new Set([1]));
    await lab.parkDelivery('shipping', NOBODY, 'k');
    const all = await listParked(lab.database);
    expect(all).toMatchObject([
      { kind: 'relay', where: 'main', id: ids[0], seq: 1, state: 'dead', error: 'Error: too big', retryInMs: null },
      { kind: 'relay', where: 'main', id: ids[1], seq: 2, state: 'behind' },
      { kind: 'consumer', where: 'shipping', id: NOBODY, seq: null, state: 'dead', attempts: 5 },
    ]);
    expect(await listParked(lab.database, { kind: 'consumer' })).toHaveLength(1);
    expect(await listParked(lab.database, { state: 'behind' })).toMatchObject([{ id: ids[1] }]);
    expect(await listParked(lab.database, { key: 'me', limit: 1 })).toMatchObject([{ id: ids[0] }]);
    expect(await listParked(lab.database, { topic: 'other.*' })).toEqual([]);
    expect(await showParked(lab.database, ids[0]!)).toMatchObject([{ data: { n: 1 }, waitingBehind: 1, headId: null }]);
    expect(await showParked(lab.database, ids[1]!)).toMatchObject([
      { data: { n: 2 }, waitingBehind: 0, headId: ids[0] },
    ]);
    expect(await showParked(lab.database, NOBODY)).toMatchObject([{ kind: 'consumer', data: { n: 7 } }]);
  });

  it('are tried again by a process that has one connection, also by the one behind', async () => {
    const { ids } = await lab.withParked([{ n: 1 }, { n: 2 }], new Set([1]));
    const alone = openDatabase({ url: lab.url, max: 1 });
    try {
      expect(await retryParked(alone, { id: ids[1]! }, me)).toMatchObject([{ where: 'main', retried: 1 }]);
    } finally {
      await alone.close();
    }
  });

  it('go out in order after a retry, which is audited', async () => {
    const bad = new Set([1]);
    const { relay, transport, ids } = await lab.withParked([{ n: 1 }, { n: 2 }], bad);
    bad.clear();
    // Asked for by the one behind: what holds it up is tried.
    expect(await retryParked(lab.database, { id: ids[1]! }, { ...me, reason: 'limit raised' })).toEqual([
      { kind: 'relay', where: 'main', retried: 1, unrouted: 0 },
    ]);
    await relay.stop();
    await relay.tick();
    expect(transport.data<{ n: number }>().map(({ n }) => n)).toEqual([1, 2]);
    expect(await listParked(lab.database)).toEqual([]);
    expect(await lab.audit()).toEqual([
      {
        actor: 'tester',
        action: 'parked.retry',
        subject: `main/${ids[1]}`,
        reason: 'limit raised',
        details: { kind: 'relay', messages: 1, unrouted: 0, ids: [ids[0]] },
      },
    ]);
  });

  it('go on without a predecessor that is missing, when told so', async () => {
    await lab.parkDelivery('shipping', NOBODY, 'k');
    await lab.database.query(`UPDATE holdfast.parked_delivery SET reason = 'predecessor missing'`);
    const reason = async () => (await listParked(lab.database))[0]?.reason;
    await retryParked(lab.database, { id: NOBODY }, me);
    expect(await reason()).toBe('predecessor missing');
    await retryParked(lab.database, { id: NOBODY }, { ...me, withoutPredecessor: true });
    expect(await reason()).toBe('released without its predecessor');
  });

  it('are retried everywhere by key or all, or in one place', async () => {
    await lab.withParked(
      [
        { n: 1, who: 'k' },
        { n: 2, who: 'l' },
      ],
      new Set([1, 2]),
    );
    await lab.parkDelivery('shipping', NOBODY, 'k');
    expect(await retryParked(lab.database, { key: 'k' }, me)).toEqual([
      { kind: 'relay', where: 'main', retried: 1, unrouted: 0 },
      { kind: 'consumer', where: 'shipping', retried: 1, unrouted: 0 },
    ]);
    expect(await retryParked(lab.database, { all: true, subscription: 'main' }, me)).toEqual([
      { kind: 'relay', where: 'main', retried: 2, unrouted: 0 },
    ]);
    expect(await retryParked(lab.database, { all: true, consumer: 'nobody' }, me)).toEqual([]);
    expect(await lab.audit()).toHaveLength(3);
    await expect(retryParked(lab.database, { id: NOBODY, subscription: 'main' }, me)).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
    await expect(retryParked(lab.database, {}, me)).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(retryParked(lab.database, { key: 'k', all: true }, me)).rejects.toMatchObject({ code: 'HF_CONFIG' });
    expect(await lab.audit()).toHaveLength(3);
  });

  it('are discarded with a reason, and what waited behind goes on', async () => {
    const { relay, transport, ids } = await lab.withParked([{ n: 1 }, { n: 2 }], new Set([1]));
    await expect(discardParked(lab.database, { id: ids[0]! }, { ...me, reason: ' ' })).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    await discardParked(lab.database, { id: ids[0]! }, { ...me, reason: 'a test order' });
    await relay.stop();
    await relay.tick();
    expect(transport.data<{ n: number }>().map(({ n }) => n)).toEqual([2]);
    expect(await lab.audit()).toMatchObject([
      { action: 'parked.discard', subject: `main/${ids[0]}`, reason: 'a test order', details: { seq: 1 } },
    ]);
    await expect(discardParked(lab.database, { id: ids[0]! }, { ...me, reason: 'x' })).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
  });

  it('asks where when one is parked twice', async () => {
    const { ids } = await lab.withParked([{ n: 1 }], new Set([1]));
    await lab.parkDelivery('shipping', ids[0]!);
    const act = { ...me, reason: 'x' };
    await expect(discardParked(lab.database, { id: ids[0]! }, act)).rejects.toThrow(/relay main, consumer shipping/);
    await discardParked(lab.database, { id: ids[0]!, consumer: 'shipping' }, act);
    expect(await listParked(lab.database)).toMatchObject([{ kind: 'relay' }]);
  });
});

describe('an act and its audit row', () => {
  it('commit together or not at all', async () => {
    const { ids } = await lab.withParked([{ n: 1 }], new Set([1]));
    await lab.database.query('ALTER TABLE holdfast.audit ADD CONSTRAINT no_audit CHECK (false) NOT VALID');
    try {
      await expect(discardParked(lab.database, { id: ids[0]! }, { ...me, reason: 'x' })).rejects.toThrow(/no_audit/);
      await expect(retryParked(lab.database, { id: ids[0]! }, me)).rejects.toThrow(/no_audit/);
      await expect(requestReplay(lab.database, { subscription: 'main' }, me)).rejects.toThrow(/no_audit/);
      await expect(dropSubscription(lab.database, 'main', { ...me, reason: 'x', discardParked: true })).rejects.toThrow(
        /held by the relay/,
      );
      await lab.stopRelays();
      await expect(dropSubscription(lab.database, 'main', { ...me, reason: 'x', discardParked: true })).rejects.toThrow(
        /no_audit/,
      );
    } finally {
      await lab.database.query('ALTER TABLE holdfast.audit DROP CONSTRAINT no_audit');
    }
    expect(await listParked(lab.database)).toMatchObject([{ id: ids[0], retryInMs: null }]);
    expect((await relayStatus(lab.database)).replays).toEqual([]);
    expect((await relayStatus(lab.database)).subscriptions).toHaveLength(1);
  });

  it('leave no audit row of an act that failed at COMMIT', async () => {
    const { ids } = await lab.withParked([{ n: 1 }], new Set([1]));
    await lab.database.query(
      `CREATE FUNCTION holdfast.too_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'too late'; END $$;
       CREATE CONSTRAINT TRIGGER too_late AFTER UPDATE OR DELETE ON holdfast.parked_message
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION holdfast.too_late();
       CREATE CONSTRAINT TRIGGER too_late AFTER INSERT ON holdfast.replay
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION holdfast.too_late()`,
    );
    try {
      await expect(discardParked(lab.database, { id: ids[0]! }, { ...me, reason: 'x' })).rejects.toThrow(/too late/);
      await expect(retryParked(lab.database, { id: ids[0]! }, me)).rejects.toThrow(/too late/);
      await expect(requestReplay(lab.database, { subscription: 'main' }, me)).rejects.toThrow(/too late/);
    } finally {
      await lab.database.query('DROP FUNCTION holdfast.too_late CASCADE');
    }
    expect(await lab.audit()).toEqual([]);
  });
});

describe('requestReplay', () => {
  it('publishes the range again, under an id that travels', async () => {
    const { relay, transport } = await lab.relayOf();
    await lab.write({ n: 1 }, { n: 2, who: 'you' }, { n: 3 });
    await relay.tick();
    const requested = await requestReplay(
      lab.database,
      { subscription: 'main', fromSeq: 2, topic: 'note.*' },
      { ...me, reason: 'redis died' },
    );
    expect(requested).toMatchObject({ subscription: 'main', fromSeq: 2, toSeq: 3, messages: 2, atLeast: false });
    expect((await relayStatus(lab.database)).replays).toMatchObject([
      { id: requested.id, position: 2, topic: 'note.*' },
    ]);
    await relay.stop();
    await relay.tick();
    expect(transport.sent.slice(3).map(({ wire, replayId }) => [numberOf(wire), replayId])).toEqual([
      [2, requested.id],
      [3, requested.id],
    ]);
    expect(await lab.audit()).toMatchObject([{ action: 'outbox.replay', subject: requested.id, reason: 'redis died' }]);
  });

  it('plans without writing, and refuses what fits nothing', async () => {
    await lab.relayOf();
    await lab.write({ n: 1 }, { n: 2, who: 'you' });
    const past = new Date(Date.now() - 60_000);
    expect(await planReplay(lab.database, { subscription: 'main', since: past, key: 'you' })).toMatchObject({
      fromSeq: 2,
      toSeq: 2,
      messages: 1,
    });
    await expect(planReplay(lab.database, { subscription: 'main', until: past })).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
    await expect(planReplay(lab.database, { subscription: 'mian' })).rejects.toThrow(/Did you mean 'main'/);
    await expect(planReplay(lab.database, { subscription: 'main', fromSeq: -1 })).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    expect(await lab.audit()).toEqual([]);
  });
});

describe('dropSubscription', () => {
  it('wants no relay on it, no parked messages unless told, and a reason', async () => {
    const { relay } = await lab.withParked([{ n: 1 }], new Set([1]));
    const act = { ...me, reason: 'replaced' };
    await expect(dropSubscription(lab.database, 'main', act)).rejects.toMatchObject({ code: 'HF_SUBSCRIPTION_HELD' });
    await relay.stop();
    await expect(dropSubscription(lab.database, 'main', act)).rejects.toThrow(/1 parked message/);
    expect(await listParked(lab.database)).toHaveLength(1);
    expect(await dropSubscription(lab.database, 'main', { ...act, discardParked: true })).toMatchObject({
      name: 'main',
      parked: 1,
    });
    expect((await relayStatus(lab.database)).subscriptions).toEqual([]);
    expect(await lab.audit()).toMatchObject([{ action: 'subscription.drop', subject: 'main', reason: 'replaced' }]);
    await expect(dropSubscription(lab.database, 'main', act)).rejects.toMatchObject({
      code: 'HF_SUBSCRIPTION_UNKNOWN',
    });
  });
});

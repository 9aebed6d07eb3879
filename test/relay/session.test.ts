/** What a held subscription writes arrives whole, or the session is over. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { resolveSubscription } from '../../src/relay/subscription/options.ts';
import { openSession } from '../../src/relay/subscription/session.ts';
import { createSubscriptionStore } from '../../src/relay/subscription/subscription-store.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { noCrash } from '../../src/runtime/crash-point.ts';
import { recordingTransport } from '../support/recording-transport.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

it('is over when its transaction was rolled back because something else had failed in it', async () => {
  const { database } = lab;
  const store = createSubscriptionStore(database);
  const key = { name: 'main', shard: 0 };
  await store.ensure('main', { shards: 1, from: 'beginning', retentionMs: 1_000 });
  const acquired = await store.acquire(key, { owner: 'me', leaseMs: 60_000 });
  if (acquired.kind !== 'acquired') throw new Error('not acquired');
  const routes = [{ topics: '**', to: 'all', ordered: true }];
  const session = await openSession({
    database,
    store,
    subscription: resolveSubscription({ name: 'main', transport: recordingTransport(), routes, lease: '60s' }),
    key,
    lease: acquired.lease,
    leasedAtMs: systemClock.monotonic(),
    clock: systemClock,
    crashPoint: noCrash,
  });
  // A statement of the tick falls between the last of the transaction and its COMMIT, and fails.
  const query = session.writeClient.query.bind(session.writeClient) as (...args: unknown[]) => Promise<unknown>;
  const failing = async (...args: unknown[]) => {
    if (args[0] === 'COMMIT') query('SELECT 1 / 0').catch(() => {});
    return query(...args);
  };
  Object.assign(session.writeClient, { query: failing });
  const message = {
    destination: 'all',
    key: 'a',
    id: '00000000-0000-7000-8000-000000000001',
    sentAt: null,
    at: '2026-01-02T03:04:05Z',
  };
  await session.heads.load(session.writeClient, [message]);
  session.heads.follow(message);
  session.heads.settle();
  session.advance({ ...session.cursor, high: 7 }, 1);
  await expect(session.flush()).rejects.toMatchObject({ code: 'HF_TRANSACTION_ABORTED' });
  await session.close({ release: false });
  expect((await database.query('SELECT high FROM holdfast.subscription')).rows).toEqual([{ high: '0' }]);
});

/**
 * A relay in a process of its own, to be killed and stopped. Started by startChild.
 */
import { openDatabase } from '../../../src/postgres/database.ts';
import type { SubscriptionOptions } from '../../../src/relay/subscription/options.ts';
import { createRelay } from '../../../src/relay/relay.ts';
import type { Transport } from '../../../src/transport/port.ts';
import { asked, settings, stderrLogger, tell } from './child-side.ts';
import { crashPoints, type CrashPlan } from './crash-points.ts';
import { ledgerTransport, type Misbehaviour } from './ledger-transport.ts';
import { openLedger } from './ledger.ts';

export interface RelayChildSettings {
  readonly url: string;
  readonly ledger: string;
  readonly owner: string;
  readonly crash: CrashPlan | null;
  readonly misbehaviour?: Misbehaviour;
  /** Publish to BullMQ on this Redis, and not only to the ledger. */
  readonly redis?: { readonly url: string; readonly prefix: string };
  readonly subscription: Omit<SubscriptionOptions, 'transport'>;
}

const { url, ledger, owner, crash, misbehaviour, redis, subscription } = settings() as RelayChildSettings;
const database = openDatabase({ url, max: 4 });
/** BullMQ takes its time to load, so only who needs it does. */
async function broker(): Promise<Transport | undefined> {
  if (redis === undefined) return undefined;
  const { createBullmqTransport } = await import('../../../src/transport/bullmq/redis-transport.ts');
  return createBullmqTransport({ connection: redis.url, prefix: redis.prefix });
}
const inner = await broker();
const relay = createRelay({
  database,
  owner,
  log: stderrLogger,
  crashPoint: crashPoints(crash, (point) => tell('point', { point })),
  subscriptions: [
    {
      ...subscription,
      transport: ledgerTransport({
        ledger: openLedger(ledger),
        by: owner,
        ...(misbehaviour === undefined ? {} : { misbehaviour }),
        ...(inner === undefined ? {} : { inner }),
      }),
    },
  ],
});
await relay.start();
tell('started');
await asked();
await relay.stop();
await database.close();
tell('stopped');
process.exit(0);

/**
 * Settings of relays as the fault-injection tests use them, and a relay in the test's own process that brings to an end what a dead one left.
 */
import type pg from 'pg';
import { openDatabase } from '../../../src/postgres/database.ts';
import type { SubscriptionOptions } from '../../../src/relay/subscription/options.ts';
import { createRelay } from '../../../src/relay/relay.ts';
import { eventually } from '../eventually.ts';
import { unfinished } from './checker.ts';
import { ledgerTransport, type LedgerTransportOptions } from './ledger-transport.ts';
import { openLedger } from './ledger.ts';

export const FAULTS_SUBSCRIPTION = {
  name: 'faults',
  routes: [{ topics: '**', to: 'faults', ordered: true }],
  batchSize: 4,
  lease: 500,
  idlePoll: 50,
  // Soon given up in place and soon taken up again, so that parking and redrive are passed within a moment.
  retry: { attempts: 2, base: 1, cap: 1 },
  parkedRetry: { attempts: 20, base: 1, cap: 20 },
  breaker: { consecutiveFailures: 3, halfOpenAfter: 50 },
} satisfies Omit<SubscriptionOptions, 'transport'>;

export interface DrainOptions extends Partial<Pick<LedgerTransportOptions, 'misbehaviour' | 'inner'>> {
  readonly by?: string;
  readonly subscription?: Partial<SubscriptionOptions>;
}

/** Resolves when relays have nothing left to do, or when that does not matter any more. */
export async function drained(pool: pg.Pool, isOver: () => boolean = () => false): Promise<void> {
  let left: readonly string[] = [];
  try {
    await eventually('the relay to finish', async () => {
      if (isOver()) return true;
      left = await unfinished(pool);
      return left.length === 0;
    });
  } catch (error) {
    throw new Error(left.join('\n'), { cause: error });
  }
}

/** Takes over when the lease of whoever came before is over, and finishes. */
export async function drain(url: string, pool: pg.Pool, ledgerPath: string, options: DrainOptions = {}): Promise<void> {
  const { by = 'heir', subscription = {}, ...misbehaving } = options;
  const ledger = openLedger(ledgerPath);
  const database = openDatabase({ url, max: 4 });
  const transport = ledgerTransport({ ledger, by, ...misbehaving });
  const relay = createRelay({
    database,
    owner: by,
    subscriptions: [{ ...FAULTS_SUBSCRIPTION, transport, ...subscription }],
  });
  try {
    await relay.start();
    await drained(pool);
  } finally {
    await relay.stop();
    await database.close();
    ledger.close();
  }
}

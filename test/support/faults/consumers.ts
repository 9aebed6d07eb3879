/**
 * Consumers as the fault-injection tests use them: their effect is a row in the table `effect`, and they can be told to fail.
 */
import type { Database } from '../../../src/postgres/database.ts';
import { createConsumer, type Consumer } from '../../../src/inbox/consumer.ts';
import type { DatabaseConsumerOptions } from '../../../src/inbox/consumer-options.ts';
import { on } from '../../../src/inbox/handlers/handler.ts';
import type { BullmqTransportOptions } from '../../../src/transport/bullmq/redis-transport.ts';
import { effect, Tick } from './domain.ts';

/** What a handler does wrong, by the message it does it for. */
export interface HandlerMisbehaviour {
  /** Throws this many times. */
  readonly failFor?: { readonly key: string; readonly n: number; readonly times: number };
  /** The process dies of it, every time. */
  readonly dieOf?: { readonly key: string; readonly n: number };
}

/** Short, so that what a dead consumer held comes again within a second. */
export const FAULTS_BROKER = {
  lockDuration: 1_500,
  stalledInterval: 300,
} satisfies Partial<BullmqTransportOptions>;

/** Retries of milliseconds instead of minutes; everything else as it is by default. */
const FAST = {
  retry: { attempts: 2, base: 1, cap: 1 },
  // So many that none is the last: a claim for the last redrive looks like a dead letter for a moment.
  parkedRetry: { attempts: 1_000, base: 1, cap: 20 },
  parkedPoll: 20,
  predecessorWait: 2_000,
} as const;

export type TestConsumerOptions = Omit<DatabaseConsumerOptions, 'handlers' | 'database'> & {
  readonly name: string;
  readonly database: Database;
  readonly kind?: 'exactly-once' | 'window';
  readonly misbehaviour?: HandlerMisbehaviour;
};

export function testConsumer({
  name,
  kind = 'exactly-once',
  misbehaviour = {},
  ...options
}: TestConsumerOptions): Consumer {
  const { failFor, dieOf } = misbehaviour;
  let failures = 0;
  return createConsumer(name, {
    ...FAST,
    ...options,
    handlers: [
      on(
        Tick,
        async (payload, { tx, message }) => {
          const is = (wanted: { readonly key: string; readonly n: number } | undefined) =>
            wanted?.key === payload.key && wanted.n === payload.n;
          await effect(tx, name, message.id, payload);
          // After the effect, so that it is there to be rolled back.
          if (is(dieOf)) process.kill(process.pid, 'SIGKILL');
          if (failFor !== undefined && is(failFor) && failures < failFor.times) {
            failures += 1;
            throw new Error('not now');
          }
        },
        { kind },
      ),
    ],
  });
}

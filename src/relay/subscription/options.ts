/**
 * What a subscription can be told, and its defaults: checked once, at start.
 */
import { HoldfastError } from '../../errors.ts';
import type { SigningOptions, SignWire } from '../../message/signing.ts';
import { assertTopicPattern } from '../../message/topic-pattern.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { resolveRetry, type RetryOptions, type RetryPolicy } from '../../runtime/retry.ts';
import { assertAble } from '../../transport/abilities.ts';
import type { Transport } from '../../transport/port.ts';
import { createRouter, type Route, type Router } from './routes.ts';
import type { FailoverPolicy } from './settle-cursor.ts';
import { signerOf } from './sign-routes.ts';
import { sharedSettings, type SharedSettings } from './shared-settings.ts';

/** A subscription: who reads the log, and where its messages go. See {@link createRelay}. */
export interface SubscriptionOptions {
  /** Unique name of this reader of the log: letters, digits, `-`, `_`, `.`; at most 100. */
  readonly name: string;
  /** What carries its messages. A subscription has one broker: give each broker its own, so that one being down holds up no other. */
  readonly transport: Transport;
  /** Which topics go to which destinations. A message that no route has is passed over. */
  readonly routes: readonly Route[];
  /** Where a new subscription begins: with the oldest message still in the log (default), or with those written from now on. */
  readonly from?: 'beginning' | 'now' | undefined;
  /**
   * In how many parts, by key, the log is read, so that several relays can share the work. 1 to 64.
   *
   * @defaultValue 1
   */
  readonly shards?: number | undefined;
  /**
   * Messages per page of the log and batch to the broker.
   *
   * @defaultValue 1000
   */
  readonly batchSize?: number | undefined;
  /**
   * How long the subscription is held without renewal, and so how long a takeover after a crash takes.
   *
   * @defaultValue '15s'
   */
  readonly lease?: Duration | undefined;
  /**
   * How long one batch may take before its outcome counts as unknown and it is sent again.
   *
   * @defaultValue '10s'
   */
  readonly publishTimeout?: Duration | undefined;
  /** When a message cannot be published: hold its key's later messages behind it, in order (default), or let them pass. */
  readonly onRefused?: 'park-key' | 'skip' | undefined;
  /**
   * Retries in place of a message the broker refuses for now. Outages of the broker are waited out, without a cap, and
   * park nothing.
   *
   * @defaultValue 5 attempts, 50ms base, 2s cap, within 10s
   */
  readonly retry?: RetryOptions | undefined;
  /**
   * Slow retries of a parked message. After that it is a dead letter.
   *
   * @defaultValue 8 attempts, 1m base, 1h cap, within 24h
   */
  readonly parkedRetry?: RetryOptions | undefined;
  /**
   * When the breaker opens, and how long it waits before it tries again.
   *
   * @defaultValue 5 failures in a row, '2s'
   */
  readonly breaker?:
    | { readonly consecutiveFailures?: number | undefined; readonly halfOpenAfter?: Duration | undefined }
    | undefined;
  /**
   * How long delivered messages stay in the log for replay.
   *
   * @defaultValue '7d'
   */
  readonly retention?: Duration | undefined;
  /**
   * What to do when the database is another server than before, or a promoted standby: what consumers had handled last may be forgotten
   * there, although it was published. A duration: what was published within it before the last advance is published again (default
   * '1h'); inboxes know what they have handled. 'hold': nothing is published until `holdfast adopt`. 'never': go on.
   */
  readonly failoverReplay?: Duration | 'hold' | 'never' | undefined;
  /**
   * The longest wait of a relay that found nothing to do, and the cost of a missed wake-up.
   *
   * @defaultValue '1s'
   */
  readonly idlePoll?: Duration | undefined;
  /**
   * CloudEvents `source` of messages whose writer gave none.
   *
   * @defaultValue 'holdfast'
   */
  readonly source?: string | undefined;
  /**
   * Signs each message for its destination, so that consumers need not believe whoever can write to the broker: see `signatures` of a
   * consumer. Each attempt to publish is signed by itself.
   *
   * @defaultValue messages are not signed
   */
  readonly signing?: SigningOptions | undefined;
}

export interface ResolvedSubscription {
  readonly name: string;
  readonly transport: Transport;
  readonly router: Router;
  /** Topic patterns of all routes, to leave other rows in the database; undefined when they cover everything. */
  readonly topics: readonly string[] | undefined;
  readonly from: 'beginning' | 'now';
  readonly shards: number;
  readonly batchSize: number;
  readonly leaseMs: number;
  readonly publishTimeoutMs: number;
  readonly keepsOrder: boolean;
  readonly retry: RetryPolicy;
  readonly parkedRetry: RetryPolicy;
  readonly breaker: { readonly consecutiveFailures: number; readonly halfOpenAfterMs: number };
  readonly retentionMs: number;
  readonly failover: FailoverPolicy;
  readonly idlePollMs: number;
  readonly source: string;
  /** Null: messages are not signed. */
  readonly sign: SignWire | null;
  /** What it must have in common with the other relays of this subscription. */
  readonly shared: SharedSettings;
}

const KNOWN = [
  'name',
  'transport',
  'routes',
  'from',
  'shards',
  'batchSize',
  'lease',
  'publishTimeout',
  'onRefused',
  'retry',
  'parkedRetry',
  'breaker',
  'retention',
  'failoverReplay',
  'idlePoll',
  'source',
  'signing',
] as const;

const RETRY: RetryPolicy = { attempts: 5, baseMs: 50, capMs: 2_000, factor: 2, withinMs: 10_000 };
const PARKED_RETRY: RetryPolicy = { attempts: 8, baseMs: 60_000, capMs: 3_600_000, factor: 2, withinMs: 86_400_000 };

/** Throws HF_CONFIG or HF_OPTION_UNKNOWN for what is not usable. */
export function resolveSubscription(options: SubscriptionOptions): ResolvedSubscription {
  const where = `subscription '${options.name}'`;
  refuseUnknownOptions(options, KNOWN, where);
  if (typeof options.name !== 'string' || !/^[\w.-]{1,100}$/.test(options.name)) {
    throw new HoldfastError('HF_CONFIG', `${where} needs a name of 1 to 100 letters, digits, '-', '_' or '.'.`);
  }
  const duration = (value: Duration | undefined, fallbackMs: number, name: string) =>
    value === undefined ? fallbackMs : parseDuration(value, `${where}.${name}`);
  const leaseMs = duration(options.lease, 15_000, 'lease');
  if (leaseMs < 500)
    throw new HoldfastError('HF_CONFIG', `${where}: a lease of ${leaseMs} ms is too short.`, {
      advice: "Give at least '500ms'; '15s' is usual.",
    });
  refuseUnknownOptions(options.breaker ?? {}, ['consecutiveFailures', 'halfOpenAfter'], `${where}.breaker`);
  const topics = options.routes.flatMap((route) => route.topics);
  for (const topic of topics) assertTopicPattern(topic);
  const retentionMs = duration(options.retention, 7 * 86_400_000, 'retention');
  const router = createRouter(options.routes, where);
  const publishTimeoutMs = duration(options.publishTimeout, 10_000, 'publishTimeout');
  // A call that outlasts three quarters of the lease is given up.
  const publishMs = Math.min(publishTimeoutMs, (leaseMs * 3) / 4);
  assertAble(options.transport, { order: router.hasOrdered, publishMs }, where);
  return {
    name: options.name,
    transport: options.transport,
    router,
    topics: topics.includes('**') ? undefined : topics,
    from: options.from ?? 'beginning',
    shards: whole(options.shards ?? 1, 1, 64, `${where}.shards`),
    batchSize: whole(options.batchSize ?? 1000, 1, 10_000, `${where}.batchSize`),
    leaseMs,
    publishTimeoutMs,
    keepsOrder: (options.onRefused ?? 'park-key') === 'park-key',
    retry: resolveRetry(options.retry, RETRY, `${where}.retry`),
    parkedRetry: resolveRetry(options.parkedRetry, PARKED_RETRY, `${where}.parkedRetry`),
    breaker: {
      consecutiveFailures: options.breaker?.consecutiveFailures ?? 5,
      halfOpenAfterMs: duration(options.breaker?.halfOpenAfter, 2_000, 'breaker.halfOpenAfter'),
    },
    retentionMs,
    shared: sharedSettings(options.routes, { onRefused: options.onRefused ?? 'park-key', retentionMs }),
    failover: failoverPolicy(options.failoverReplay ?? '1h', where),
    idlePollMs: duration(options.idlePoll, 1_000, 'idlePoll'),
    source: options.source ?? 'holdfast',
    sign: signerOf(options.routes, options.signing, where),
  };
}

function failoverPolicy(value: Duration | 'hold' | 'never', where: string): FailoverPolicy {
  if (value === 'hold') return 'hold';
  return value === 'never' ? 'ignore' : { replayMs: parseDuration(value, `${where}.failoverReplay`) };
}

function whole(value: number, least: number, most: number, name: string): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new HoldfastError('HF_CONFIG', `${name} is ${value}.`, {
      advice: `Give a whole number from ${least} to ${most}.`,
    });
  }
  return value;
}

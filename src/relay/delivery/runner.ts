/**
 * Runs one shard of one subscription: takes its lease, reads the log, delivers, moves the cursor. Used by the relay.
 *
 * One tick is one page. Any error of the database or the lease drops the session whole; the next tick begins anew from what is stored.
 */
import { isHoldfastError } from '../../errors.ts';
import { noteSilence } from '../../postgres/checkout.ts';
import type { Database } from '../../postgres/database.ts';
import { explainLockWait } from '../../postgres/lock-wait.ts';
import { sequenceBehind } from '../../postgres/sequences.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import { describeError } from '../../runtime/describe-error.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLoop } from '../../runtime/loop.ts';
import { backoffMs, RECONNECT } from '../../runtime/retry.ts';
import type { Service, StopOptions } from '../../runtime/service.ts';
import type { Publisher } from '../../transport/port.ts';
import type { Cursor } from '../log/cursor.ts';
import { deliver, type DeliveryContext } from './delivery.ts';
import { createDispatcher } from './dispatcher.ts';
import type { LogPage } from '../log/log-reader.ts';
import type { RelayMetrics } from './metrics.ts';
import type { ResolvedSubscription } from '../subscription/options.ts';
import { expectAfter, isExpecting, NOTHING_EXPECTED, pace, type Expectation } from '../subscription/pacing.ts';
import { createParkingStore, KILLED } from './parking-store.ts';
import {
  afterSuccess,
  CRASHES_BEFORE_PARKING,
  markBefore,
  planAfterTakeover,
  STALLS_BEFORE_CAREFUL_REDRIVE,
} from '../subscription/poison.ts';
import { redrive } from './redrive.ts';
import { replayPage } from './replay.ts';
import type { RunnerState } from '../subscription/runner-state.ts';
import { openSession, type Session } from '../subscription/session.ts';
import { tellSettled } from '../subscription/tell-settled.ts';
import type { Acquisition, SubscriptionStore } from '../subscription/subscription-store.ts';

export interface RunnerOptions {
  readonly database: Database;
  readonly store: SubscriptionStore;
  readonly subscription: ResolvedSubscription;
  readonly shard: number;
  readonly publisher: Publisher;
  /** Names this process in the lease. */
  readonly owner: string;
  readonly sleeper: Sleeper;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: RelayMetrics;
  readonly crashPoint: CrashPoint;
}

/** Where a runner says that it goes to sleep; the relay shares one among its runners. */
export interface Sleeper {
  readonly canSleep: boolean;
  declareSleep(): Promise<void>;
}

export interface SubscriptionRunner extends Service {
  /** One page: for tests. */
  tick(): Promise<void>;
  wake(): void;
  readonly state: RunnerState;
}

/** How often parked messages and replays are looked for while the log is busy, in milliseconds. */
const CHORES_EVERY_MS = 1_000;
/** How often parked messages are looked for that were released unseen, in milliseconds: it looks at all keys. */
const ORPHANS_EVERY_MS = 60_000;
/** ... and at least, however long it took, in milliseconds. */
const CHORES_AT_LEAST_EVERY_MS = 60_000;
/** Messages per batch of them: they are read whole, whatever their size, and the live log waits meanwhile. */
const CHORE_MESSAGES = 200;
/** For connecting, queries and backoff, in milliseconds; see RunnerState.patienceMs. */
const SLACK_MS = 20_000;
/** Longer than any read of the log takes, in milliseconds. */
const LONGEST_READ_MS = 120_000;

export function createSubscriptionRunner(options: RunnerOptions): SubscriptionRunner {
  const { database, store, subscription, shard, owner, sleeper, clock, random, crashPoint, metrics } = options;
  const key = { name: subscription.name, shard };
  const log = options.log.child({ subscription: subscription.name, shard });
  const parking = createParkingStore({
    ...key,
    schema: database.schema,
    shards: subscription.shards,
    keepsOrder: subscription.keepsOrder,
  });
  let stopping = new AbortController();
  const alive = () => {
    lastTickAtMs = clock.monotonic();
  };
  const dispatcher = createDispatcher({ ...options, log, stopping: () => stopping.signal, onAttempt: alive });
  const context: DeliveryContext = { subscription, dispatcher, parking, clock, random, log, crashPoint };

  let session: Session | null = null;
  let role: RunnerState['role'] = 'starting';
  let prefetched: Promise<LogPage> | null = null;
  let lastMessageAtMs = clock.monotonic();
  let expectation: Expectation = NOTHING_EXPECTED;
  let lastTickAtMs = clock.monotonic();
  let choresDueAtMs = 0;
  let orphansDueAtMs = 0;
  /** Parked for killing relays, perhaps with the cursor still before them. */
  let killers: ReadonlySet<number> = new Set();
  let asleep = false;
  /** Doubled while reads have no answer: that may be a dead connection, or a read that takes its time. */
  let readTimeoutMs = 0;
  /** Relays died before this one without progress, perhaps of a parked message. */
  let careful = false;
  /** Of the last tick. */
  let failure: string | null = null;
  /** Another relay was started later with other settings. */
  let superseded = false;
  /** Where this runner was last, should the row of the subscription vanish under it. */
  let place: { readonly cursor: Cursor; readonly server: string } | null = null;

  async function takeLease(): Promise<Session | number> {
    const leasedAtMs = clock.monotonic();
    crashPoint('relay.acquire:before');
    const acquisition = await acquire();
    crashPoint('relay.acquire:after');
    superseded = acquisition.kind === 'superseded';
    if (acquisition.kind === 'superseded') {
      if (role !== 'standby')
        log.warn({}, 'standing by for good: a relay with other settings of this subscription was started later');
      role = 'standby';
      return acquisition.retryInMs;
    }
    if (acquisition.kind === 'held') {
      if (role !== 'standby')
        log.info({ holder: acquisition.owner }, 'standing by: another relay holds the subscription');
      role = 'standby';
      // Look again when the lease would end; a little at random, so that standbys do not come all at once; and often enough to
      // notice soon that it was given back.
      return Math.min(acquisition.retryInMs + random() * 100, subscription.leaseMs / 10 + random() * 100);
    }
    const { lease } = acquisition;
    place = { cursor: lease.cursor, server: lease.server };
    careful = lease.stalls >= STALLS_BEFORE_CAREFUL_REDRIVE;
    const opened = await openSession({
      database,
      store,
      subscription,
      key,
      lease,
      leasedAtMs,
      clock,
      crashPoint,
      readTimeoutMs,
    });
    tellSettled(log, lease.settled);
    try {
      await suspect(opened, lease.stalls);
      await parking.releaseOrphans(opened.writeClient);
      orphansDueAtMs = clock.monotonic() + ORPHANS_EVERY_MS;
      opened.blocked = await parking.blockedKeys(opened.writeClient);
      killers = await parking.killers(opened.writeClient);
    } catch (error) {
      // Nobody else knows of its connections yet.
      await opened.close({ release: false }).catch(() => {});
      throw error;
    }
    log.info({ epoch: lease.epoch, high: lease.cursor.high, parkedKeys: opened.blocked.size }, 'subscription taken');
    role = 'active';
    return opened;
  }

  /**
   * The row of a subscription that runs is gone when somebody has emptied the tables, as test suites do. It is put back where this runner
   * was, for the numbers of the log go on. Where others have the subscription with another number of shards, there is no place for it.
   */
  async function acquire(): Promise<Acquisition> {
    const ask = () => store.acquire(key, owner, subscription.leaseMs, subscription);
    try {
      return await ask();
    } catch (error) {
      if (!isHoldfastError(error, 'HF_SUBSCRIPTION_UNKNOWN')) throw error;
      if (
        !(await store.restore(key, { ...subscription, cursor: place?.cursor ?? null, server: place?.server ?? null }))
      ) {
        role = 'ended';
        throw error;
      }
      log.error({ high: place?.cursor.high }, 'the row of the subscription was gone (TRUNCATE?); it was put back');
      return ask();
    }
  }

  /** After takeovers without progress: smaller batches, and at last the culprit parked. */
  async function suspect(opened: Session, stalls: number): Promise<void> {
    const plan = planAfterTakeover(stalls, opened.probe, subscription.batchSize);
    if (plan.kind === 'normal') return;
    opened.probe = plan.probe;
    log.warn({ stalls, size: plan.probe.size }, 'relays died here repeatedly: probing for the message that kills them');
    if (plan.kind === 'probe') return;
    // Not read whole: it may be its size that kills.
    const culprit = await opened.reader.identify(plan.seq);
    crashPoint('relay.park:before');
    await parking.park(opened.writeClient, opened.epoch, [
      {
        seq: plan.seq,
        state: 'failed',
        reason: KILLED,
        error: null,
        attempts: CRASHES_BEFORE_PARKING,
        retryInMs: null,
      },
    ]);
    crashPoint('relay.park:after');
    log.error({ seq: plan.seq, messageId: culprit?.id, topic: culprit?.topic }, 'message parked: it killed the relay');
  }

  async function drop(release: boolean): Promise<void> {
    const closing = session;
    session = null;
    prefetched = null;
    if (role !== 'ended') role = 'starting';
    await closing?.close({ release });
  }

  async function work(signal: AbortSignal): Promise<number> {
    if (session === null) {
      const taken = await takeLease();
      if (typeof taken === 'number') return taken;
      session = taken;
      choresDueAtMs = 0;
      asleep = false;
    }
    session.assertAlive();
    const busy = await chores(session, signal);
    const limit = session.probe?.size ?? subscription.batchSize;
    crashPoint('relay.read:before');
    const page = await (prefetched ?? session.reader.read(session.cursor, limit));
    readTimeoutMs = 0;
    crashPoint('relay.read:after');
    prefetched = null;
    // Then what is written next could lie behind the cursor. The next session mends it before it reads.
    if (page.drawn < Math.max(page.next.high, session.cursor.floor))
      throw sequenceBehind(`The sequence of the log is at ${page.drawn}, and its cursor at ${page.next.high}.`);
    if (page.more && session.probe === null) {
      // Read the next page while this one is on its way. Should this one fail, the session's cursor has not moved.
      prefetched = session.reader.read(page.next, limit);
      prefetched.catch(() => {});
    }
    await bringOut(session, page, signal);
    const nowMs = clock.monotonic();
    if (page.entries.length > 0) lastMessageAtMs = nowMs;
    expectation = expectAfter(expectation, { drawn: page.drawn, high: page.next.high, found: page.entries.length > 0 });
    return rest({ more: page.more || busy, expecting: isExpecting(expectation), idleForMs: nowMs - lastMessageAtMs });
  }

  async function bringOut(held: Session, page: LogPage, signal: AbortSignal): Promise<void> {
    const entries = killers.size === 0 ? page.entries : page.entries.filter((entry) => !killers.has(entry.seq));
    let marked = false;
    if (held.probe !== null && entries.length > 0) {
      marked = true;
      held.probe = markBefore(
        held.probe,
        entries.map((entry) => entry.seq),
      );
      await store.markProbe(held.writeClient, key, held.epoch, held.probe);
    }
    const counts = entries.length === 0 ? NONE : await deliver(context, held, entries, signal);
    metrics.delivered(key, counts);
    if (counts.unrouted > 0) log.debug({ unrouted: counts.unrouted }, 'messages without a route passed over');
    const moved =
      page.next.high !== held.cursor.high ||
      page.next.catchup !== null ||
      held.cursor.catchup !== null ||
      page.entries.length > 0;
    if (held.probe !== null) held.probe = afterSuccess(held.probe, page.entries.length, page.more);
    else if (!moved) return;
    held.advance(page.next, counts.published);
    if (place !== null) place = { ...place, cursor: page.next };
    // The mark must be gone before anything else is published, also when it was the last: whoever takes over from a relay that dies
    // of the next page would blame what is marked.
    if (marked) await held.flush();
  }

  async function chores(held: Session, signal: AbortSignal): Promise<boolean> {
    if (clock.monotonic() < choresDueAtMs || held.probe !== null) return false;
    const limit = Math.min(subscription.batchSize, CHORE_MESSAGES);
    const startedAtMs = clock.monotonic();
    if (startedAtMs >= orphansDueAtMs) {
      await parking.releaseOrphans(held.writeClient);
      orphansDueAtMs = startedAtMs + ORPHANS_EVERY_MS;
    }
    const redriven = await redrive(context, held, limit, signal, { careful });
    const replaying = shard === 0 && (await replayPage(context, held, database.schema, limit, signal));
    const busy = redriven > 0 || replaying;
    // Looking through very many parked keys takes its time; it must not take that of the live log.
    const nowMs = clock.monotonic();
    const pauseMs = Math.min(Math.max(CHORES_EVERY_MS, 20 * (nowMs - startedAtMs)), CHORES_AT_LEAST_EVERY_MS);
    choresDueAtMs = busy ? 0 : nowMs + pauseMs;
    if (redriven > 0) held.advance(held.cursor, redriven);
    return busy;
  }

  async function rest(facts: { more: boolean; expecting: boolean; idleForMs: number }): Promise<number> {
    const next = pace({ ...facts, canSleep: sleeper.canSleep });
    if (next.kind === 'poll') {
      asleep = false;
      return next.delayMs;
    }
    // Said again at every idle poll, since a relay that wakes may have unsaid it for all.
    await sleeper.declareSleep();
    if (asleep) return subscription.idlePollMs;
    asleep = true;
    return 0;
  }

  const loop = createLoop({
    name: `relay ${subscription.name}/${shard}`,
    clock,
    log,
    async tick(signal) {
      try {
        const restMs = await work(signal);
        failure = null;
        return restMs;
      } catch (error) {
        failure = describeError(error);
        // Given back when stopped during an outage. Otherwise kept: this process takes it up again itself, and a broken connection
        // could not give it back anyway.
        const stopped = isHoldfastError(error, 'HF_STOPPED');
        if (isReadTimeout(error)) {
          noteSilence(database.pool);
          const least = Math.max(readTimeoutMs, subscription.leaseMs);
          readTimeoutMs = Math.min(2 * least, LONGEST_READ_MS);
        }
        await drop(stopped).catch(() => {});
        if (stopped) return 0;
        throw await explainLockWait(database, error, {
          doing: `Reading or writing for subscription '${subscription.name}'`,
          tables: ['subscription', 'parked_message', 'key_head', 'replay', 'outbox'],
        });
      } finally {
        alive();
      }
    },
    onError: (_error, failures) => backoffMs(RECONNECT, failures, random),
  });

  return {
    async start() {
      if (stopping.signal.aborted) stopping = new AbortController();
      await loop.start();
    },
    async stop(stop?: StopOptions) {
      stopping.abort();
      await loop.stop(stop);
      await drop(true).catch((error: unknown) =>
        log.warn({ err: error }, 'the last progress could not be stored; duplicates are possible'),
      );
    },
    tick: () => loop.tick(),
    wake() {
      asleep = false;
      loop.wake();
    },
    get state() {
      return {
        subscription: subscription.name,
        shard,
        role,
        breaker: dispatcher.breaker.state,
        lastTickAtMs,
        patienceMs:
          subscription.leaseMs + subscription.publishTimeoutMs + subscription.idlePollMs + readTimeoutMs + SLACK_MS,
        trouble: superseded ? 'a relay with other settings was started later' : (session?.trouble ?? null),
        failure,
      };
    },
  };
}

/** As the driver says it. */
function isReadTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout';
}

const NONE = { published: 0, parked: 0, unrouted: 0 };

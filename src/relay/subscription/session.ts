/**
 * A held subscription: its lease, its connections, and the cursor's way into the database. Used by the subscription runner, which
 * drops it whole (and takes it anew) whenever a connection or the lease is lost: nothing of its memory outlives the doubt.
 *
 * The cursor in memory runs ahead of the stored one by at most one write: while that is under way, progress gathers and goes with
 * the next. Dying in between means duplicates, never loss.
 */
import type { Client } from 'pg';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import { runTransaction, type Database } from '../../postgres/database.ts';
import { LOCK_PATIENCE_MS } from '../../postgres/lock-wait.ts';
import { inTurn } from '../../postgres/in-turn.ts';
import type { Cursor } from '../log/cursor.ts';
import { createKeyHeads, type KeyHeads } from './key-heads.ts';
import { createLogReader, LOG_READER_SETTINGS, type LogReader } from '../log/log-reader.ts';
import type { ResolvedSubscription } from './options.ts';
import type { ProbeState } from './poison.ts';
import { leaseLost, type SubscriptionKey } from './fence.ts';
import type { Lease, SubscriptionStore } from './subscription-store.ts';

export interface Session {
  readonly key: SubscriptionKey;
  readonly epoch: number;
  readonly reader: LogReader;
  readonly heads: KeyHeads;
  /** For reads of the log beside the reader's own. */
  readonly readClient: Client;
  /** For everything that is written under this lease; one statement after the other. */
  readonly writeClient: Client;
  readonly cursor: Cursor;
  readonly published: number;
  probe: ProbeState | null;
  /** Keys with parked messages. */
  blocked: Set<string>;
  /** The last failure of the transport, for status. */
  trouble: string | null;
  /** Milliseconds for which it is still safe to publish by this process's own clock. Rejects with HF_LEASE_LOST when it is not. */
  leaseLeftMs(): Promise<number>;
  /** Progress: `count` messages went out and the cursor is now there. Rejects when an earlier write failed. */
  advance(cursor: Cursor, count: number): void;
  /** Resolves once all progress is stored. */
  flush(): Promise<void>;
  /** Rejects soon after when the connection or the lease is gone. */
  assertAlive(): void;
  /** Stores progress and gives the lease back, when it can, and closes the connections. */
  close(options: { readonly release: boolean }): Promise<void>;
}

export interface SessionOptions {
  readonly database: Database;
  readonly store: SubscriptionStore;
  readonly subscription: ResolvedSubscription;
  readonly key: SubscriptionKey;
  readonly lease: Lease;
  /** Monotonic time before the lease was asked for. */
  readonly leasedAtMs: number;
  readonly clock: Clock;
  readonly crashPoint: CrashPoint;
  /** How long a read of the log may take, in milliseconds, if that is more than the lease allows. */
  readonly readTimeoutMs?: number | undefined;
}

/** Least time between two writes of the cursor, in milliseconds: bounds the writes at a trickle, and the duplicates after a crash. */
const PERSIST_EVERY_MS = 20;
/** How long an answer is waited for on the way to a lost lease: what takes longer loses it anyway. A part of the lease. */
const PATIENCE = 0.75;
/** The part of the lease at whose end nothing is published any more, against clocks that run apart and calls that take their time. */
const SAFETY = 0.25;

export async function openSession(options: SessionOptions): Promise<Session> {
  const { database, store, subscription, key, lease, clock, crashPoint } = options;
  const { leaseMs } = subscription;
  let failure: Error | null = null;
  const onLost = (error: Error) => {
    failure ??= error;
  };
  const queryTimeoutMs = Math.ceil(leaseMs * PATIENCE);
  // The first read after a long absence may take longer than a lease, which the other connection holds meanwhile.
  const readClient = await database.dedicatedConnection({
    onLost,
    queryTimeoutMs: Math.max(queryTimeoutMs, options.readTimeoutMs ?? 0),
  });
  let writeClient: Client;
  try {
    await readClient.query(LOG_READER_SETTINGS);
    writeClient = inTurn(await database.dedicatedConnection({ onLost, queryTimeoutMs }));
    // Losing the last moments of the cursor with the server means duplicates, so it need not wait for the disk. What is parked
    // is written before the cursor passes it, in the same log, and so cannot be lost alone.
    await writeClient.query('SET synchronous_commit = off');
    // A process that is stopped inside a transaction must not hold the row of the subscription against its successor.
    await writeClient.query(
      `SET idle_in_transaction_session_timeout = ${Math.ceil(leaseMs / 2)}; SET lock_timeout = ${LOCK_PATIENCE_MS}`,
    );
  } catch (error) {
    await readClient.end().catch(() => {});
    throw error;
  }

  const heads = createKeyHeads(database.schema, subscription.name);
  let cursor = lease.cursor;
  let published = lease.published;
  let confirmedAtMs = options.leasedAtMs;
  let dirty = false;
  let writing: Promise<void> | null = null;
  let lastWriteAtMs = -Infinity;
  const rate = createRate(clock);
  const closed = new AbortController();

  const leftMs = () => confirmedAtMs + leaseMs * (1 - SAFETY) - clock.monotonic();

  async function confirm(write: () => Promise<void>): Promise<void> {
    const sentAtMs = clock.monotonic();
    await write();
    confirmedAtMs = sentAtMs;
  }

  async function writeProgress(): Promise<void> {
    const progress = { cursor, published, rate: rate.perSecond(), probe: session.probe, trouble: session.trouble };
    crashPoint('relay.advance:before');
    await confirm(async () => {
      if (!heads.dirty) return store.advance(writeClient, key, lease.epoch, leaseMs, progress);
      // Something parked meanwhile may fall into this transaction. Should it fail, the session is over, and the stored cursor, which
      // is still before what was parked, brings it up again.
      const written = await runTransaction(writeClient, 'BEGIN', async () => {
        const persisted = await heads.persist(writeClient);
        await store.advance(writeClient, key, lease.epoch, leaseMs, progress);
        return persisted;
      });
      written();
    });
    crashPoint('relay.advance:after');
  }

  async function writeWhileDirty(): Promise<void> {
    try {
      while (dirty) {
        await clock.sleep(lastWriteAtMs + PERSIST_EVERY_MS - clock.monotonic(), flushing.signal);
        dirty = false;
        lastWriteAtMs = clock.monotonic();
        await writeProgress();
      }
    } catch (error) {
      failure ??= error instanceof Error ? error : new Error(String(error));
    } finally {
      writing = null;
    }
  }
  let flushing = new AbortController();

  async function keepLease(): Promise<void> {
    while (!closed.signal.aborted && failure === null) {
      await clock.sleep(leaseMs / 6, closed.signal);
      if (closed.signal.aborted || clock.monotonic() - confirmedAtMs < leaseMs / 3 || writing !== null) continue;
      try {
        crashPoint('relay.renew:before');
        await confirm(() => store.renew(writeClient, key, lease.epoch, leaseMs, session.trouble));
        crashPoint('relay.renew:after');
      } catch (error) {
        failure ??= error instanceof Error ? error : new Error(String(error));
      }
    }
  }

  const session: Session = {
    key,
    epoch: lease.epoch,
    reader: createLogReader(readClient, database.schema, {
      topics: subscription.topics,
      shard: key.shard,
      shards: subscription.shards,
    }),
    heads,
    readClient,
    writeClient,
    get cursor() {
      return cursor;
    },
    get published() {
      return published;
    },
    probe: lease.probe,
    blocked: new Set(),
    trouble: null,
    async leaseLeftMs() {
      session.assertAlive();
      if (leftMs() > 0) return leftMs();
      // Perhaps this process only slept, and nobody took over: ask.
      await confirm(() => store.renew(writeClient, key, lease.epoch, leaseMs, session.trouble));
      if (leftMs() <= 0) throw leaseLost(key);
      return leftMs();
    },
    advance(next, count) {
      session.assertAlive();
      cursor = next;
      published += count;
      rate.add(count);
      dirty = true;
      writing ??= writeWhileDirty();
    },
    async flush() {
      flushing.abort();
      await writing;
      flushing = new AbortController();
      session.assertAlive();
    },
    assertAlive() {
      if (failure !== null) throw failure;
    },
    async close({ release }) {
      closed.abort();
      try {
        if (failure === null) {
          await session.flush();
          if (release) {
            crashPoint('relay.release:before');
            await store.release(writeClient, key, lease.epoch);
            crashPoint('relay.release:after');
          }
        }
      } finally {
        failure ??= new Error('the session is closed');
        await Promise.allSettled([readClient.end(), writeClient.end()]);
      }
    },
  };
  void keepLease();
  return session;
}

/** Messages per second over the last few seconds, smoothed; for status only. */
function createRate(clock: Clock): { add(count: number): void; perSecond(): number } {
  const TAU_MS = 5_000;
  let value = 0;
  let atMs = clock.monotonic();
  const decay = () => {
    const nowMs = clock.monotonic();
    value *= Math.exp(-(nowMs - atMs) / TAU_MS);
    atMs = nowMs;
  };
  return {
    add(count) {
      decay();
      value += count / (TAU_MS / 1000);
    },
    perSecond() {
      decay();
      return value;
    },
  };
}

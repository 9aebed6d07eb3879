/**
 * A held subscription: its lease, its connections, and its progress. It is dropped whole, and taken anew, whenever a connection or the
 * lease is lost: nothing of its memory outlives the doubt.
 */
import type { Client } from 'pg';
import type { Database } from '../../postgres/database.ts';
import { runTransaction } from '../../postgres/transaction.ts';
import { inTurn } from '../../postgres/in-turn.ts';
import { LOCK_PATIENCE_MS } from '../../postgres/lock-wait.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Cursor } from '../log/cursor.ts';
import { createLogReader, LOG_READER_SETTINGS, type LogReader } from '../log/log-reader.ts';
import { subscriptionLeaseLost, type LeaseHolder, type SubscriptionKey } from './fence.ts';
import { createKeyHeads, type KeyHeads } from './key-heads.ts';
import { LeaseClock } from './lease-clock.ts';
import type { Lease } from './lease-taker.ts';
import type { ResolvedSubscription } from './options.ts';
import type { ProbeState } from './poison.ts';
import { ProgressWriter, type CursorProgress } from './progress.ts';
import type { SubscriptionStore } from './subscription-store.ts';

export interface Session extends LeaseHolder {
  readonly reader: LogReader;
  readonly heads: KeyHeads;
  /** For reads of the log beside the reader's own. */
  readonly readClient: Client;
  /** For everything that is written under this lease; one statement after the other. */
  readonly writeClient: Client;
  readonly cursor: Cursor;
  readonly published: number;
  /** In milliseconds. */
  readonly leaseMs: number;
  /** Its lease is longer than usual, and has been for long enough: it is to be given back, and taken as long as usual. */
  readonly isOverlong: boolean;
  /** Whether any progress of this session is stored. */
  readonly hasStored: boolean;
  probe: ProbeState | null;
  /** Keys with parked messages. */
  blocked: Set<string>;
  /** The last failure of the transport, for status. */
  trouble: string | null;
  /** Milliseconds for which it is still safe to publish by this process's own clock. Rejects with HF_LEASE_LOST when it is not. */
  leaseLeftMs(): Promise<number>;
  /** `count` messages went out, and the cursor is now there. Throws when an earlier write failed. */
  advance(cursor: Cursor, count: number): void;
  /** Resolves once all progress is stored. */
  flush(): Promise<void>;
  /** Throws soon after the connection or the lease is gone. */
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

/** For so many usual leases one is longer than usual: whoever dies meanwhile is replaced late. */
const LONG_FOR_LEASES = 20;

/** How long an answer is waited for on the way to a lost lease: what takes longer loses it anyway. A part of the lease. */
const PATIENCE = 0.75;

export async function openSession(options: SessionOptions): Promise<Session> {
  const failure = new FirstFailure();
  const session = new LeasedSession(options, await connect(options, failure), failure);
  void session.keepLease();
  return session;
}

/** The first thing that went wrong; what follows from it is not worth telling. */
class FirstFailure {
  error: Error | null = null;

  note(error: unknown): void {
    this.error ??= error instanceof Error ? error : new Error(String(error));
  }
}

interface Connections {
  readonly readClient: Client;
  readonly writeClient: Client;
}

async function connect(options: SessionOptions, failure: FirstFailure): Promise<Connections> {
  const { database, lease } = options;
  const { leaseMs } = lease;
  const onLost = (error: Error) => failure.note(error);
  const queryTimeoutMs = Math.ceil(leaseMs * PATIENCE);
  // The first read after a long absence may take longer than a lease, which the other connection holds meanwhile.
  const readClient = await database.dedicatedConnection({
    onLost,
    queryTimeoutMs: Math.max(queryTimeoutMs, options.readTimeoutMs ?? 0),
  });
  let writeClient: Client | null = null;
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
    return { readClient, writeClient };
  } catch (error) {
    await Promise.allSettled([readClient.end(), writeClient?.end()]);
    throw error;
  }
}

class LeasedSession implements Session {
  readonly key: SubscriptionKey;
  readonly epoch: number;
  readonly reader: LogReader;
  readonly heads: KeyHeads;
  readonly readClient: Client;
  readonly writeClient: Client;
  probe: ProbeState | null;
  blocked = new Set<string>();
  trouble: string | null = null;

  readonly #options: SessionOptions;
  readonly #failure: FirstFailure;
  readonly #lease: LeaseClock;
  readonly #progress: ProgressWriter;
  readonly #closed = new AbortController();

  constructor(options: SessionOptions, { readClient, writeClient }: Connections, failure: FirstFailure) {
    const { database, subscription, key, lease, clock } = options;
    this.key = key;
    this.epoch = lease.epoch;
    this.reader = createLogReader(readClient, database.schema, {
      topics: subscription.topics,
      shard: key.shard,
      shards: subscription.shards,
    });
    this.heads = createKeyHeads(database.schema, subscription.name);
    this.readClient = readClient;
    this.writeClient = writeClient;
    this.probe = lease.probe;
    this.#options = options;
    this.#failure = failure;
    this.#lease = new LeaseClock(clock, lease.leaseMs, options.leasedAtMs);
    this.#progress = new ProgressWriter({
      clock,
      stored: lease,
      write: (progress) => this.#write(progress),
      onError: (error) => failure.note(error),
    });
  }

  get cursor(): Cursor {
    return this.#progress.cursor;
  }

  get published(): number {
    return this.#progress.published;
  }

  get leaseMs(): number {
    return this.#options.lease.leaseMs;
  }

  get isOverlong(): boolean {
    const { clock, subscription, leasedAtMs } = this.#options;
    return (
      this.leaseMs > subscription.leaseMs && clock.monotonic() - leasedAtMs > LONG_FOR_LEASES * subscription.leaseMs
    );
  }

  get hasStored(): boolean {
    return this.#progress.hasStored;
  }

  async leaseLeftMs(): Promise<number> {
    this.assertAlive();
    if (this.#lease.leftMs() > 0) return this.#lease.leftMs();
    // Perhaps this process only slept, and nobody took over: ask.
    await this.#renew();
    if (this.#lease.leftMs() <= 0) throw subscriptionLeaseLost(this.key);
    return this.#lease.leftMs();
  }

  advance(cursor: Cursor, count: number): void {
    this.assertAlive();
    this.#progress.advance(cursor, count);
  }

  async flush(): Promise<void> {
    await this.#progress.flush();
    this.assertAlive();
  }

  assertAlive(): void {
    if (this.#failure.error !== null) throw this.#failure.error;
  }

  async close({ release }: { readonly release: boolean }): Promise<void> {
    const { store, crashPoint } = this.#options;
    this.#closed.abort();
    try {
      if (this.#failure.error === null) {
        await this.flush();
        if (release) {
          crashPoint('relay.release:before');
          await store.release(this);
          crashPoint('relay.release:after');
        }
      }
    } finally {
      this.#failure.note(new Error('the session is closed'));
      await Promise.allSettled([this.readClient.end(), this.writeClient.end()]);
    }
  }

  /** Renews the lease while no progress does. Until the session is closed or has failed; never rejects. */
  async keepLease(): Promise<void> {
    const { clock, crashPoint } = this.#options;
    const closed = this.#closed.signal;
    while (!closed.aborted && this.#failure.error === null) {
      await clock.sleep(this.leaseMs / 6, closed);
      if (closed.aborted || !this.#lease.isRenewalDue() || this.#progress.isWriting) continue;
      try {
        crashPoint('relay.renew:before');
        await this.#renew();
        crashPoint('relay.renew:after');
      } catch (error) {
        this.#failure.note(error);
      }
    }
  }

  #renew(): Promise<void> {
    return this.#lease.confirm(() => this.#options.store.renew(this, this.leaseMs, this.trouble));
  }

  async #write(progress: CursorProgress): Promise<void> {
    const { store, crashPoint } = this.#options;
    const { heads, writeClient } = this;
    const advance = () => store.advance(this, this.leaseMs, { ...progress, probe: this.probe, trouble: this.trouble });
    crashPoint('relay.advance:before');
    await this.#lease.confirm(async () => {
      if (!heads.dirty) return advance();
      // Something parked meanwhile may fall into this transaction. Should it fail, the session is over, and the stored cursor, which
      // is still before what was parked, brings it up again.
      const written = await runTransaction(writeClient, 'BEGIN', async () => {
        const persisted = await heads.persist(writeClient);
        await advance();
        return persisted;
      });
      written();
    });
    crashPoint('relay.advance:after');
  }
}

/**
 * Runs one shard of one subscription: takes its lease, or stands by; while it holds it, one tick is one page of the log. Any error of the
 * database or the lease drops the session whole; the next tick begins anew from what is stored.
 */
import { isHoldfastError } from '../../errors.ts';
import { noteSilence } from '../../postgres/checkout.ts';
import { explainLockWait } from '../../postgres/lock-wait.ts';
import { describeError } from '../../runtime/describe-error.ts';
import { createLoop, type Loop } from '../../runtime/loop.ts';
import { backoffMs, RECONNECT } from '../../runtime/retry.ts';
import type { Service, StopOptions } from '../../runtime/service.ts';
import type { RunnerState } from '../subscription/runner-state.ts';
import type { LastPlace } from '../subscription/shard-rows.ts';
import type { HeldShard } from './held-shard.ts';
import { PageLimit } from './page-limit.ts';
import { isReadTimeout, ReadPatience } from './read-patience.ts';
import { Rest } from './rest.ts';
import { createRunnerContext, type RunnerContext, type RunnerOptions } from './runner-context.ts';
import { enterPhase, type RunnerPhase } from './runner-phase.ts';
import { acquireOrRestore, standbyMs, takeOver, tellAlive, type NotAcquired } from './takeover.ts';

export interface SubscriptionRunner extends Service {
  /** One page: for tests. */
  tick(): Promise<void>;
  wake(): void;
  /** Somebody of this process has committed messages. */
  hint(): void;
  readonly state: RunnerState;
}

/** For connecting, queries and backoff, in milliseconds; see RunnerState.patienceMs. */
const SLACK_MS = 20_000;
const TABLES = ['subscription', 'parked_message', 'key_head', 'replay', 'outbox'];

export function createSubscriptionRunner(options: RunnerOptions): SubscriptionRunner {
  return new Runner(options);
}

class Runner implements SubscriptionRunner {
  readonly #context: RunnerContext;
  readonly #loop: Loop;
  readonly #rest: Rest;
  readonly #patience = new ReadPatience();
  readonly #pages: PageLimit;
  #phase: RunnerPhase = { kind: 'starting' };
  /** Where this runner was last, should the row of the subscription vanish under it. */
  #last: LastPlace = { cursor: null, server: null };
  #stopping = new AbortController();
  #lastTickAtMs: number;
  /** Of the last tick. */
  #failure: string | null = null;

  constructor(options: RunnerOptions) {
    const { subscription, shard, clock, random } = options;
    this.#context = createRunnerContext(options, {
      stopping: () => this.#stopping.signal,
      onAttempt: () => this.#showAlive(),
    });
    this.#rest = new Rest({ ...options, idlePollMs: subscription.idlePollMs });
    this.#pages = new PageLimit(subscription.batchSize);
    this.#lastTickAtMs = clock.monotonic();
    this.#loop = createLoop({
      name: `relay ${subscription.name}/${shard}`,
      clock,
      log: this.#context.log,
      tick: (signal) => this.#tick(signal),
      onError: (_error, failures) => backoffMs(RECONNECT, failures, random),
    });
  }

  async start(): Promise<void> {
    if (this.#stopping.signal.aborted) this.#stopping = new AbortController();
    await this.#loop.start();
  }

  async stop(stop?: StopOptions): Promise<void> {
    this.#stopping.abort();
    await this.#loop.stop(stop);
    await this.#drop({ release: true }).catch((error: unknown) =>
      this.#context.log.warn({ err: error }, 'the last progress could not be stored; duplicates are possible'),
    );
  }

  tick(): Promise<void> {
    return this.#loop.tick();
  }

  wake(): void {
    this.#rest.wake();
    this.#loop.wake();
  }

  hint(): void {
    // Who waits for a lease, or after a failure, is not to be hurried.
    if (this.#phase.kind === 'active' && this.#rest.hint()) this.#loop.wake();
  }

  get state(): RunnerState {
    const { subscription, shard, dispatcher } = this.#context;
    const { publishTimeoutMs, idlePollMs } = subscription;
    const { leaseMs } = this.#phase.kind === 'active' ? this.#phase.shard.session : subscription;
    return {
      subscription: subscription.name,
      shard,
      role: this.#phase.kind,
      breaker: dispatcher.breaker.state,
      lastTickAtMs: this.#lastTickAtMs,
      patienceMs: leaseMs + publishTimeoutMs + idlePollMs + this.#patience.timeoutMs + SLACK_MS,
      trouble: troubleOf(this.#phase),
      failure: this.#failure,
    };
  }

  #showAlive(): void {
    this.#lastTickAtMs = this.#context.clock.monotonic();
  }

  async #tick(signal: AbortSignal): Promise<number> {
    try {
      const restMs = await this.#work(signal);
      this.#failure = null;
      return restMs;
    } catch (error) {
      this.#failure = describeError(error);
      return await this.#failed(error);
    } finally {
      this.#showAlive();
    }
  }

  async #work(signal: AbortSignal): Promise<number> {
    if (this.#phase.kind === 'active' && this.#phase.shard.session.isOverlong) await this.#drop({ release: true });
    const shard = this.#phase.kind === 'active' ? this.#phase.shard : await this.#take(signal);
    return typeof shard === 'number' ? shard : this.#rest.after(await shard.page());
  }

  /** Resolves with the milliseconds until the next try when the shard is not to be had. */
  async #take(signal: AbortSignal): Promise<HeldShard | number> {
    const { clock, random, crashPoint, subscription } = this.#context;
    const leasedAtMs = clock.monotonic();
    crashPoint('relay.acquire:before');
    const acquisition = await acquireOrRestore(this.#context, this.#last);
    crashPoint('relay.acquire:after');
    if (acquisition.kind === 'gone') {
      this.#enter({ kind: 'ended' });
      throw acquisition.error;
    }
    if (acquisition.outlived !== null) await tellAlive(this.#context, acquisition.outlived);
    if (acquisition.kind !== 'acquired') {
      this.#standBy(acquisition);
      return standbyMs(acquisition, subscription.leaseMs, random);
    }
    const { lease } = acquisition;
    this.#last = { cursor: lease.cursor, server: lease.server };
    const shard = await takeOver(this.#context, {
      lease,
      leasedAtMs,
      patience: this.#patience,
      pages: this.#pages,
      signal,
    });
    this.#enter({ kind: 'active', shard });
    this.#rest.wake();
    return shard;
  }

  #standBy(acquisition: NotAcquired): void {
    const { log } = this.#context;
    const superseded = acquisition.kind === 'superseded';
    if (this.#phase.kind !== 'standby') {
      if (superseded)
        log.warn({}, 'standing by for good: a relay with other settings of this subscription was started later');
      else log.info({ holder: acquisition.owner }, 'standing by: another relay holds the subscription');
    }
    this.#enter({ kind: 'standby', superseded });
  }

  /** Rejects with what the loop is to tell; resolves when that was the stop. */
  async #failed(error: unknown): Promise<number> {
    const { database, subscription } = this.#context;
    if (isReadTimeout(error)) {
      noteSilence(database.pool);
      this.#patience.unanswered(subscription.leaseMs);
    }
    // Given back when stopped during an outage. Otherwise kept: this process takes it up again itself, and a broken connection
    // could not give it back anyway.
    const stopped = isHoldfastError(error, 'HF_STOPPED');
    await this.#drop({ release: stopped }).catch(() => {});
    if (stopped) return 0;
    throw await explainLockWait(database, error, {
      doing: `Reading or writing for subscription '${subscription.name}'`,
      tables: TABLES,
    });
  }

  async #drop({ release }: { readonly release: boolean }): Promise<void> {
    const phase = this.#phase;
    if (phase.kind !== 'ended') this.#enter({ kind: 'starting' });
    if (phase.kind !== 'active') return;
    const { session } = phase.shard;
    this.#last = { ...this.#last, cursor: session.cursor };
    try {
      await session.close({ release });
    } finally {
      if (this.#pages.sessionEnded(session.hasStored))
        this.#context.log.warn(
          { messages: this.#pages.messages },
          'what went out could not be stored, and goes out again: fewer messages at a time',
        );
    }
  }

  #enter(next: RunnerPhase): void {
    this.#phase = enterPhase(this.#phase, next);
  }
}

function troubleOf(phase: RunnerPhase): string | null {
  if (phase.kind === 'active') return phase.shard.session.trouble;
  return phase.kind === 'standby' && phase.superseded ? 'a relay with other settings was started later' : null;
}

/**
 * What a relay does beside its subscriptions: moves scheduled messages into the log when they are due, prunes the log, and has the space
 * of what it pruned taken back.
 */
import type { Database } from '../../postgres/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLoop, type Loop } from '../../runtime/loop.ts';
import { inPacedChunks, nextRoundMs, roundsFor, type RoundBounds } from '../../runtime/paced.ts';
import type { StopOptions } from '../../runtime/service.ts';
import { LogVacuum } from './log-vacuum.ts';
import { PRUNE_CHUNK, pruneChunk, pruneRecords } from './pruner.ts';
import { createScheduler, schedulerWaitMs, type Scheduler, type SchedulerStep } from './scheduler.ts';

export interface UpkeepOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly crashPoint: CrashPoint;
  readonly subscriptions: readonly { readonly retentionMs: number }[];
}

/** How far rounds of pruning may lie apart, by the longest retention. Pure. */
export function pruneRounds(subscriptions: readonly { readonly retentionMs: number }[]): RoundBounds {
  const retentionMs = Math.max(0, ...subscriptions.map((each) => each.retentionMs));
  return roundsFor(retentionMs, { mostMs: PRUNE_EVERY_MS, enough: ENOUGH });
}

/** Between two rounds when there is little to do, in milliseconds. */
const PRUNE_EVERY_MS = 60_000;
/** What one round of pruning should find: with more, it comes back sooner. */
const ENOUGH = 4 * PRUNE_CHUNK;
/**
 * Rounds begin where the last one ended: to come there again leads past all that is still needed, and past all that was deleted while
 * somebody's long transaction keeps vacuum from it. Now and then they begin at the oldest message, for what was still needed then.
 * Records beside the log are looked at as seldom: they are few and stay for days.
 */
const PRUNE_WHOLE_EVERY_MS = 3_600_000;
const AFTER_ERROR_MS = 5_000;

export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #scheduler: Scheduler;
  readonly #loops: readonly Loop[];
  readonly #vacuum: LogVacuum;
  readonly #vacuumLoop: Loop;
  /** A stop ends a round of pruning after the chunk that is under way; the next round goes on there. */
  #stopping = new AbortController();
  /** The seq up to which there is nothing more to prune, for now. */
  #reached = 0;
  #wholeDueAtMs = -Infinity;
  readonly #rounds: RoundBounds;
  #roundMs: number;

  constructor(options: UpkeepOptions) {
    const { database, clock, log } = options;
    this.#options = options;
    this.#rounds = pruneRounds(options.subscriptions);
    this.#roundMs = this.#rounds.mostMs;
    this.#scheduler = createScheduler(database, clock);
    const loop = (name: string, tick: () => Promise<number>): Loop =>
      createLoop({ name, clock, log, tick, onError: () => AFTER_ERROR_MS });
    this.#vacuum = new LogVacuum(options);
    this.#vacuumLoop = loop('relay vacuum', () => this.#vacuum.run(this.#stopping.signal));
    this.#loops = [
      loop('relay scheduler', async () => schedulerWaitMs(await this.moveDue())),
      loop('relay pruner', () => this.#pruneNowAndThen()),
      this.#vacuumLoop,
    ];
  }

  async start(): Promise<void> {
    this.#stopping = new AbortController();
    for (const loop of this.#loops) await loop.start();
  }

  async stop(stop: StopOptions): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops.map((loop) => loop.stop(stop)));
  }

  /** Scheduled messages that are due go into the log. */
  async moveDue(): Promise<SchedulerStep> {
    const { log } = this.#options;
    const step = await this.#scheduler.moveDue();
    for (const id of step.duplicates) {
      log.warn({ messageId: id }, 'scheduled message left out: a message with its id is in the log already');
    }
    if (step.refused !== null) {
      const { id, error } = step.refused;
      log.error(
        { messageId: id, err: error },
        'scheduled message refused by the log: it stays scheduled, others go on',
      );
    }
    return step;
  }

  /** One round, whole: the log and the records beside it. Resolves with how many messages went. */
  async pruneAll(): Promise<number> {
    this.#reached = 0;
    const deleted = await this.#pruneLog(new AbortController().signal);
    await pruneRecords(this.#options.database);
    return deleted;
  }

  async #pruneNowAndThen(): Promise<number> {
    const { clock, random, database } = this.#options;
    const nowMs = clock.monotonic();
    const whole = nowMs >= this.#wholeDueAtMs;
    if (whole) this.#reached = 0;
    const deleted = await this.#pruneLog(this.#stopping.signal);
    if (whole) {
      await pruneRecords(database);
      this.#wholeDueAtMs = nowMs + PRUNE_WHOLE_EVERY_MS;
    }
    this.#roundMs = nextRoundMs(this.#roundMs, deleted, this.#rounds);
    return this.#roundMs * (0.5 + random());
  }

  async #pruneLog(signal: AbortSignal): Promise<number> {
    const { database, log, clock, crashPoint } = this.#options;
    let deleted = 0;
    await inPacedChunks(clock, signal, async () => {
      crashPoint('relay.prune:before');
      const step = await pruneChunk(database, this.#reached);
      crashPoint('relay.prune:after');
      deleted += step.deleted;
      this.#reached = Math.max(this.#reached, step.reached);
      if (this.#vacuum.note(step.deleted)) this.#vacuumLoop.wake();
      return step.more;
    });
    if (deleted > 0) log.info({ deleted }, 'log pruned');
    return deleted;
  }
}

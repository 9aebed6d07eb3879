/**
 * What a relay does beside its subscriptions: moves scheduled messages into the log when they are due, and prunes the log.
 */
import type { Database } from '../../postgres/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLoop, type Loop } from '../../runtime/loop.ts';
import type { StopOptions } from '../../runtime/service.ts';
import { pruneChunk, pruneRecords } from './pruner.ts';
import { createScheduler, schedulerWaitMs, type Scheduler, type SchedulerStep } from './scheduler.ts';

export interface UpkeepOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

const PRUNE_EVERY_MS = 60_000;
/** Records beside the log are few and stay for days. */
const PRUNE_RECORDS_EVERY_MS = 3_600_000;
const AFTER_ERROR_MS = 5_000;

export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #scheduler: Scheduler;
  readonly #loops: readonly Loop[];
  /** A stop ends a round of pruning after the chunk that is under way; the next round goes on there. */
  #stopping = false;
  #recordsDueAtMs = -Infinity;

  constructor(options: UpkeepOptions) {
    const { database, clock, log } = options;
    this.#options = options;
    this.#scheduler = createScheduler(database, clock);
    const loop = (name: string, tick: () => Promise<number>): Loop =>
      createLoop({ name, clock, log, tick, onError: () => AFTER_ERROR_MS });
    this.#loops = [
      loop('relay scheduler', async () => schedulerWaitMs(await this.moveDue())),
      loop('relay pruner', () => this.#pruneNowAndThen()),
    ];
  }

  async start(): Promise<void> {
    this.#stopping = false;
    for (const loop of this.#loops) await loop.start();
  }

  async stop(stop: StopOptions): Promise<void> {
    this.#stopping = true;
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
  pruneAll(): Promise<number> {
    return this.#prune({ ended: () => false, records: true });
  }

  async #pruneNowAndThen(): Promise<number> {
    const { clock, random } = this.#options;
    const nowMs = clock.monotonic();
    const records = nowMs >= this.#recordsDueAtMs;
    await this.#prune({ ended: () => this.#stopping, records });
    if (records) this.#recordsDueAtMs = nowMs + PRUNE_RECORDS_EVERY_MS;
    return PRUNE_EVERY_MS * (0.5 + random());
  }

  async #prune({ ended, records }: { ended: () => boolean; records: boolean }): Promise<number> {
    const { database, log } = this.#options;
    let deleted = 0;
    for (let after: number | null = 0; after !== null && !ended();) {
      const step = await pruneChunk(database, after);
      deleted += step.deleted;
      after = step.after;
    }
    if (records) await pruneRecords(database);
    if (deleted > 0) log.info({ deleted }, 'log pruned');
    return deleted;
  }
}

/**
 * Brings claimed runs into memory: all at the same time, but for those that are suspected of killing their workers, which come one after
 * the other.
 */
import type { Logger } from '../../runtime/log.ts';
import type { RunSettings } from '../run/run-settings.ts';
import type { Registry, Saga } from '../definition/definition.ts';
import { nextDue } from '../decide/due.ts';
import type { JournalRow } from '../journal/events.ts';
import type { DecisionContext } from '../run/run-events.ts';
import { afterwards } from '../decide/afterwards.ts';
import type { RunCache } from './run-cache.ts';
import { runsCode, recover } from '../decide/recover.ts';
import { Run } from '../run/run.ts';
import { beginStretch } from '../run/run-span.ts';
import type { ClaimedRun, RunMessage } from '../store/store.ts';
import { deadlyTrials, RUN_KILLS_WORKERS, suspicionOf, type Suspicion } from '../decide/quarantine.ts';
import { inTime, moment, turn } from '../replay/turn.ts';

export interface ClaimLoaderOptions {
  readonly runs: RunCache;
  readonly registry: Registry;
  readonly settings: RunSettings;
  readonly log: Logger;
  readonly context: () => DecisionContext;
  readonly addRunMessage: (run: Run, runMessage: RunMessage) => void;
  /** The run is there: what it has recorded is to be committed, and what is due to be begun. */
  readonly onTaken: (run: Run) => void;
  readonly giveBack: (run: Run, error: unknown) => void;
  /** Resolves once nothing of the run is in commit or waits for one. */
  readonly quiet: (run: Run) => Promise<void>;
  readonly isDead: () => boolean;
  /** What it has is being given away. */
  readonly isDraining: () => boolean;
}

export class ClaimLoader {
  readonly #options: ClaimLoaderOptions;
  /** Claimed again while the commit that released them is not yet answered here: loaded when it is. */
  readonly #again = new Map<string, { readonly claimed: ClaimedRun; readonly at: number }>();

  constructor(options: ClaimLoaderOptions) {
    this.#options = options;
  }

  /** `at`: when the look began that found them, and their run messages. */
  async take(claimed: readonly ClaimedRun[], at: number): Promise<void> {
    const suspects: ClaimedRun[] = [];
    await Promise.all(
      claimed.map(async (each) => {
        if (suspicionOf(each) === 'none') await this.#takeOne(each, 'none', at);
        else suspects.push(each);
      }),
    );
    // The most suspect last: what dies beside it is then less and less.
    for (const each of suspects.toSorted((a, b) => deadlyTrials(a) - deadlyTrials(b))) {
      if (this.#options.isDraining()) return;
      await this.#takeOne(each, suspicionOf(each), at);
    }
  }

  /** The run has left memory. */
  left(run: Run): void {
    const again = this.#again.get(run.id);
    this.#again.delete(run.id);
    if (again !== undefined) void this.#takeOne(again.claimed, suspicionOf(again.claimed), again.at);
  }

  async #takeOne(claimed: ClaimedRun, suspicion: Suspicion, at: number): Promise<void> {
    const { runs, registry, settings, context, addRunMessage, giveBack, onTaken } = this.#options;
    const saga = registry.find(claimed.saga, claimed.version);
    if (saga === undefined || this.#options.isDead()) return;
    if (runs.get(claimed.id) !== undefined) {
      this.#again.set(claimed.id, { claimed, at });
      return;
    }
    const run = new Run(saga as Saga, claimed, claimed.status, settings);
    // Not looked at before it is all there.
    runs.add(run);
    run.load(claimed);
    beginStretch(run, () => context().now);
    run.messagesKnownAt = at;
    for (const runMessage of claimed.runMessages) addRunMessage(run, runMessage);
    const onTrial = suspicion === 'suspect' && runsCode(run);
    try {
      if (suspicion === 'proven' && runsCode(run)) await this.#condemn(run);
      else {
        if (onTrial) await this.#beginTrial(run, claimed.journal);
        if (runs.holds(run)) await recover(run, claimed.journal, context());
        // Told before the first commit, so that a timer whose code kills is not accounted for before.
        if (nextDue(run) <= Math.min(context().now, at)) run.runEvents.push({ kind: 'due' });
      }
    } catch (error) {
      giveBack(run, error);
    }
    if (!runs.holds(run)) return;
    run.finishLoading();
    onTaken(run);
    if (onTrial) await this.#endTrial(run);
  }

  /** That it is tried is durable before its code runs. */
  async #beginTrial(run: Run, journal: readonly JournalRow[]): Promise<void> {
    const { log, context, quiet } = this.#options;
    log.warn({ run: run.id, saga: run.saga.name, lost: run.lost }, 'workers died with this run: it is tried alone');
    // One that came to nothing, because its worker was stopped in good order, is begun already.
    const last = journal.at(-1)?.events.at(-1);
    if (last?.t === 'recovered' && last.alone === true && last.lost === run.lost) return;
    run.record({ t: 'recovered', lost: run.lost, alone: true }, context().now);
    await quiet(run);
  }

  /** Waits until it has been told all there was, and has committed what came of it: by `recovered` at least, which closes the trial. */
  async #endTrial(run: Run): Promise<void> {
    const { runs, quiet, isDead, isDraining } = this.#options;
    await turn();
    while (runs.holds(run) && !isDead() && !isDraining()) {
      if (run.runEvents.length === 0 && !run.queued && !run.inHand) return quiet(run);
      await moment();
    }
  }

  async #condemn(run: Run): Promise<void> {
    const { log, context } = this.#options;
    log.error({ run: run.id, saga: run.saga.name }, 'this run kills the workers that run its code: it is stuck');
    const now = context();
    run.recordStuck({ why: 'kills workers', call: null, error: RUN_KILLS_WORKERS }, now.now);
    await inTime(afterwards(run, now));
  }
}

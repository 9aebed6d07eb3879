/**
 * Brings claimed runs into memory: all at the same time, but for those that are suspected of killing their workers, which come one after
 * the other. Used by the engine.
 */
import type { Logger } from '../runtime/log.ts';
import type { RunSettings } from './commands.ts';
import type { Registry, Saga } from './definition.ts';
import { nextDue } from './due.ts';
import type { Scene } from './facts.ts';
import { afterwards } from './mail.ts';
import type { Residents } from './residents.ts';
import { takeUp } from './resume.ts';
import { Run } from './run.ts';
import type { ClaimedRun, Mail } from './store.ts';
import { KILLS_WORKERS, openTrials, suspicionOf, type Suspicion } from './suspects.ts';
import { turn } from './turn.ts';

export interface IntakeOptions {
  readonly runs: Residents;
  readonly registry: Registry;
  readonly settings: RunSettings;
  readonly log: Logger;
  readonly scene: () => Scene;
  readonly addMail: (run: Run, mail: Mail) => void;
  /** The run is there: what it has recorded is to be committed, and what is due to be begun. */
  readonly onTaken: (run: Run) => void;
  readonly giveBack: (run: Run, error: unknown) => void;
  /** Resolves once nothing of the run is in commit or waits for one. */
  readonly quiet: (run: Run) => Promise<void>;
  /** Nothing is begun any more. */
  readonly isOver: () => boolean;
}

export class Intake {
  readonly #options: IntakeOptions;
  /** Claimed again before it was known here that the commit which let them go had been made. */
  readonly #again = new Map<string, ClaimedRun>();

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  async take(claimed: readonly ClaimedRun[]): Promise<void> {
    const suspects: ClaimedRun[] = [];
    await Promise.all(
      claimed.map(async (each) => {
        if (suspicionOf(each) === 'none') await this.#takeOne(each, 'none');
        else suspects.push(each);
      }),
    );
    // The most suspect last: what dies beside it is then less and less.
    for (const each of suspects.toSorted((a, b) => openTrials(a.journal) - openTrials(b.journal))) {
      if (this.#options.isOver()) return;
      await this.#takeOne(each, suspicionOf(each));
    }
  }

  /** The run has left memory. */
  left(run: Run): void {
    const again = this.#again.get(run.id);
    this.#again.delete(run.id);
    if (again !== undefined) void this.#takeOne(again, suspicionOf(again));
  }

  async #takeOne(claimed: ClaimedRun, suspicion: Suspicion): Promise<void> {
    const { runs, registry, settings, scene, addMail, giveBack, onTaken } = this.#options;
    const saga = registry.find(claimed.saga, claimed.version);
    if (saga === undefined || this.#options.isOver()) return;
    if (runs.get(claimed.id) !== undefined) {
      this.#again.set(claimed.id, claimed);
      return;
    }
    const run = new Run(saga as Saga, claimed, claimed.status, settings);
    // Not looked at before it is all there.
    run.queued = true;
    runs.add(run);
    run.load(claimed);
    for (const mail of claimed.mail) addMail(run, mail);
    const crashed = run.lost > run.state.lost;
    try {
      if (suspicion === 'proven') await this.#condemn(run);
      else {
        if (suspicion === 'suspect') await this.#beginTrial(run);
        if (runs.holds(run)) await takeUp(run, claimed.journal, scene(), crashed);
        // Told before the first commit, so that a timer whose code kills is not accounted for before.
        if (nextDue(run) <= scene().now) run.facts.push({ kind: 'due' });
      }
    } catch (error) {
      giveBack(run, error);
    }
    run.queued = false;
    if (!runs.holds(run)) return;
    const rows = run.n;
    onTaken(run);
    if (suspicion === 'suspect') await this.#endTrial(run, rows);
  }

  /** That it is tried is durable before its code runs. */
  async #beginTrial(run: Run): Promise<void> {
    const { log, scene, quiet } = this.#options;
    log.warn({ run: run.id, saga: run.saga.name, lost: run.lost }, 'workers died with this run: it is tried alone');
    run.record({ t: 'recovered', lost: run.lost, alone: true }, scene().now);
    run.onTrial = true;
    await quiet(run);
    run.onTrial = false;
  }

  /** That it came through is durable before the next one is tried: it has been told all there was, and had so many rows before. */
  async #endTrial(run: Run, rows: number): Promise<void> {
    const { runs, scene, quiet, isOver } = this.#options;
    while (runs.holds(run) && !isOver()) {
      await turn();
      if (run.facts.length > 0 || run.queued || run.inHand) continue;
      if (run.n === rows && !run.rowIsOpen) run.record({ t: 'recovered', lost: run.lost }, scene().now);
      return quiet(run);
    }
  }

  async #condemn(run: Run): Promise<void> {
    const { log, scene } = this.#options;
    log.error({ run: run.id, saga: run.saga.name }, 'this run kills the workers that run its code: it is stuck');
    const now = scene();
    run.record({ t: 'recovered', lost: run.lost }, now.now);
    run.recordStuck('kills workers', null, KILLS_WORKERS, now.now);
    await afterwards(run, now);
  }
}

/**
 * One run in a worker's memory: its state, what is to be committed next, and what is to be begun once that is durable.
 * The decisions (saga/decide) say what is recorded; the engine commits.
 */
import { IdMap } from '../../runtime/id-map.ts';
import type { Saga } from '../definition/definition.ts';
import { endError } from '../journal/end-error.ts';
import type { RecordedError, RunStatus, StuckWhy } from '../journal/events.ts';
import type { CallState } from '../journal/state.ts';
import type { CodeEnding, Flow } from '../replay/flow.ts';
import { apply } from '../state/fold.ts';
import { applyDone } from '../state/fold-calls.ts';
import type { ClaimedRun, RunCommit, RunUpdate, RunView } from '../store/store.ts';
import type { JournalGauge } from './journal-gauge.ts';
import { JournaledRun } from './journaled-run.ts';
import type { Intent, RunEvent, Mismatch, CompensationRequest } from './run-events.ts';
import type { RunSettings } from './run-settings.ts';
import type { Timer } from './timer-heap.ts';

export interface RunIdentity {
  readonly id: string;
  readonly claims: number;
  readonly parent: { readonly id: string; readonly call: string } | null;
}

/** What a run is stuck for. */
export interface StuckReason {
  readonly why: StuckWhy;
  /** Null: the run as a whole. */
  readonly call: CallState | null;
  readonly error: RecordedError;
  /** Calls with whose failures the code ended. */
  readonly of?: readonly string[];
}

/** What came of a transaction step: its row of the journal, which commits with its effect. */
export interface TransactionOutcome {
  readonly event: 'done' | 'compensated';
  readonly call: CallState;
  readonly output: string | undefined;
  /** The time of the row. */
  readonly at: number;
}

type Stored = Pick<RunView, 'pivoted' | 'reason' | 'refused'>;

export class Run extends JournaledRun {
  readonly claims: number;
  readonly parent: RunIdentity['parent'];
  /** What the database had as its status when it came into memory. */
  readonly loadedAs: RunStatus;
  /** The code that goes forward; null while it is being compensated, is stuck, or has ended. */
  flow: Flow | null = null;
  /** How the code ended; it may still wait for calls it left behind. */
  ending: CodeEnding | null = null;
  readonly runEvents: RunEvent[] = [];
  /** Attempts under way, by the call's id, or by compensationId of it. */
  readonly inFlight = new IdMap<(reason: Error) => void>();
  /** Begun once the events recorded so far are durable. */
  intents: Intent[] = [];
  /** A request to compensate that waits for a pivot in flight. */
  pendingCompensation: CompensationRequest | null = null;
  lost = 0;
  /** Of its losses, those that were lapses, by their numbers. */
  lapsed: readonly number[] = [];
  /** What the database has as its status. */
  status: RunStatus;
  /** What the database has beside it: whether the pivot is passed, why it is compensated, what came too late. */
  stored: Stored = { pivoted: false, reason: null, refused: this.state.refused };
  /** It has become stuck in this memory, and was not loaded as such. */
  stuckNow = false;
  /** Its memory no longer fits its journal: it is to be loaded anew. */
  stale = false;
  /** The code does not fit it; what becomes of it is being found out (mismatches.ts), and nothing is told meanwhile. */
  mismatch: Mismatch | null = null;
  /** Calls whose children are of another version than is declared, and in the hands of some worker when that was asked. */
  readonly lookedAfter = new Set<string>();
  /** It leaves for a worker with another code than this one, of which the fingerprint is given. */
  handedBack: string | null = null;
  /** All messages that had come by then, on the store's clock, are here or have been taken in. */
  messagesKnownAt = -Infinity;

  /** Of RunTimers. */
  readonly timer: Timer<Run> | null = null;

  #before: { readonly status: RunStatus; readonly stored: Stored; readonly n: number } | null = null;

  /** `loadedAs`: the status of a run that is to be loaded from its journal; null: it is a new one. */
  constructor(saga: Saga, identity: RunIdentity, loadedAs: RunStatus | null, settings: RunSettings) {
    super(saga, identity.id, loadedAs === null ? 'active' : 'loading', settings);
    this.claims = identity.claims;
    this.parent = identity.parent;
    this.status = loadedAs ?? 'running';
    this.loadedAs = this.status;
  }

  /** Folds a stored journal in. */
  load(claimed: ClaimedRun): void {
    for (const row of claimed.journal) {
      for (const event of row.events) apply(this.state, event, row.at);
      this.n = row.n + 1;
      this.row.follows(row.at);
      this.gauge.load(row);
    }
    this.gauge.loaded();
    this.lost = claimed.lost;
    this.lapsed = claimed.lapsed ?? [];
    this.stored = { pivoted: claimed.pivoted, reason: claimed.reason, refused: this.state.refused };
  }

  /** What transactionCommit has put into the journal. */
  adopt({ event, call, output, at }: TransactionOutcome): void {
    this.n += 1;
    this.gauge.adopted(output, this.row.isLeftToTransaction);
    this.row.writtenByTransaction(at);
    if (event === 'done') {
      applyDone(this.state, call.id, { output });
      if (call.pivot) this.stored = { ...this.stored, pivoted: true };
      this.state.events += 1;
    } else apply(this.state, { t: 'compensated', call: call.id }, at);
  }

  /** It cannot go on with this code. */
  setMismatch(mismatch: Mismatch): void {
    this.mismatch = mismatch;
    this.flow = null;
  }

  recordStuck({ why, call, error, of = [] }: StuckReason, now: number): void {
    const ended = of.length === 0 ? {} : { of };
    this.record({ t: 'stuck', why, error, ...(call === null ? {} : { call: call.id }), ...ended }, now);
    this.flow = null;
    this.stuckNow = true;
  }

  /** Something of it is in commit or in a transaction, waits for one, or may come to: its code was told something and not looked at since. */
  get isUnsettled(): boolean {
    return this.dirty || this.isWriting || this.inHand;
  }

  /** Whether there is anything that must be committed. */
  get dirty(): boolean {
    return this.row.isFilled || this.wantedStatus !== this.status || this.state.pivoted !== this.stored.pivoted;
  }

  /**
   * Nothing is taken in just now: it is not here, or about to go; a transaction, or the row that is being filled, has to be committed
   * first; or nobody knows yet who goes on with it.
   */
  get takesNothing(): boolean {
    if (this.stage !== 'active' && this.stage !== 'committing') return true;
    return this.row.isClosed || this.gauge.rowIsFull || this.mismatch !== null;
  }

  /** No attempt is under way or about to begin, and nothing waits to be taken in. */
  get idle(): boolean {
    return (
      this.inFlight.size === 0 &&
      this.intents.length === 0 &&
      this.runEvents.length === 0 &&
      this.stage !== 'transacting'
    );
  }

  get wantedStatus(): RunStatus {
    const { state } = this;
    if (state.phase === 'completed') return 'completed';
    if (state.phase === 'compensated') return 'compensated';
    if (state.stuck !== null) return 'stuck';
    if (state.phase === 'compensating') return 'compensating';
    return this.idle && (state.held || state.open.length > 0) ? 'waiting' : 'running';
  }

  /** Nothing is left to do for whoever has it in memory. */
  get over(): boolean {
    return this.state.phase === 'completed' || this.state.phase === 'compensated' || this.state.stuck !== null;
  }

  /** The last commit was refused: the database has what it had before. */
  commitRefused(): void {
    if (this.#before === null) return;
    this.status = this.#before.status;
    this.stored = this.#before.stored;
    this.n = this.#before.n;
  }

  /** What goes into the next commit. `release`: when it is to be claimed again, if it leaves memory now. */
  flush(release: { readonly wakeAt: number | null } | null): RunCommit {
    const { state } = this;
    const status = this.wantedStatus;
    const figures = this.gauge.closeRow(this.n);
    // A run cannot start as finished: it is then started and finished in one commit.
    const startAs = this.over ? 'running' : status;
    // A start says the status itself.
    const saysAll = this.row.isStart && release === null && status === startAs && !state.pivoted && figures === null;
    const update = saysAll ? null : this.#updateTo(status, release, figures);
    this.#before = { status: this.status, stored: this.stored, n: this.n };
    const commit = this.row.commit(this.id, this.n, update, startAs);
    if (commit.journal !== null) this.n += 1;
    this.status = status;
    this.stored = { pivoted: state.pivoted, reason: state.reason, refused: state.refused };
    return commit;
  }

  #updateTo(
    status: RunStatus,
    release: RunUpdate['release'],
    figures: ReturnType<JournalGauge['closeRow']>,
  ): RunUpdate | null {
    const { state } = this;
    const guarded = this.row.isGuarded;
    const refused = state.refused === this.stored.refused ? {} : { refused: state.refused };
    const changed = status !== this.status || state.pivoted !== this.stored.pivoted || 'refused' in refused;
    if (!changed && release === null && figures === null && !guarded) return null;
    const error = endError(state);
    return {
      status,
      reason: state.reason,
      pivoted: state.pivoted,
      release,
      result: state.phase === 'completed' ? (state.result ?? null) : null,
      error: error === null ? null : JSON.stringify(error),
      ...figures,
      ...refused,
      ...(this.handedBack === null ? {} : { mismatch: this.handedBack }),
      ...(guarded ? { guarded } : {}),
    };
  }
}

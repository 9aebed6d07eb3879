/**
 * One run in a worker's memory: its state, what is to be committed next, and what is to be begun once that is durable. forward.ts,
 * compensate.ts, inbound.ts and due.ts decide what is recorded; the engine commits.
 */
import { IdMap } from '../../runtime/id-map.ts';
import type { RunSettings } from './run-settings.ts';
import { stepOf, type Saga } from '../definition/definition.ts';
import { calledText, doneText, withText } from '../journal/event-text.ts';
import { endError } from '../journal/end-error.ts';
import type { JournalEvent, RecordedError, RunStatus, StuckWhy } from '../journal/events.ts';
import type { Effect, RunEvent, Mismatch, PendingCompensation } from './run-events.ts';
import type { CodeEnding, Flow } from '../replay/flow.ts';
import { JournalGauge } from './journal-gauge.ts';
import type { JournalSize } from '../journal/growth.ts';
import { recordError, redacted } from '../journal/recorded-error.ts';
import { outputVersionOf } from '../journal/recorded-values.ts';
import type { Timer } from './timer-heap.ts';
import { apply, applyCalled, applyDone, emptyState, type CallState, type RunState } from '../journal/state.ts';
import type { StepDefinition } from '../definition/steps.ts';
import type { ClaimedRun, RunMessage, RunMessageBody, NewRun, RunCommit, RunView } from '../store/store.ts';

export interface RunIdentity {
  readonly id: string;
  readonly claims: number;
  readonly parent: { readonly id: string; readonly call: string } | null;
}

type Stored = Pick<RunView, 'pivoted' | 'reason' | 'refused'>;

export class Run {
  readonly saga: Saga;
  readonly id: string;
  readonly claims: number;
  readonly parent: RunIdentity['parent'];
  readonly settings: RunSettings;
  /** What the database had as its status when it came into memory. */
  readonly loadedAs: RunStatus;
  readonly state: RunState = emptyState();
  /** The code that goes forward; null while it is being compensated, is stuck, or has ended. */
  flow: Flow | null = null;
  /** How the code ended; it may still wait for calls it left behind. */
  ending: CodeEnding | null = null;
  readonly runEvents: RunEvent[] = [];
  /** Attempts under way, by call id. */
  readonly inFlight = new IdMap<(reason: Error) => void>();
  /** Begun once the events recorded so far are durable. */
  effects: Effect[] = [];
  /** A request to compensate that waits for a pivot in flight. */
  pendingCompensation: PendingCompensation | null = null;
  /** The number of the next row. */
  n = 0;
  lost = 0;
  /** What the database has as its status. */
  status: RunStatus;
  /** What the database has beside it: whether the pivot is passed, why it is compensated, what came too late. */
  stored: Stored = { pivoted: false, reason: null, refused: this.state.refused };
  /** It has become stuck in this memory, and was not loaded as such. */
  stuckNow = false;
  committing = false;
  /** Its code has been told something and has not been looked at since: nobody can say what it waits for. */
  inHand = false;
  /** A transaction step has the next row for itself. */
  transacting = false;
  /** Its memory no longer fits its journal: it is to be loaded anew. */
  stale = false;
  /** The code does not fit it; what becomes of it is being found out (mismatches.ts), and nothing is told meanwhile. */
  mismatch: Mismatch | null = null;
  /** Calls whose children are of another version than is declared, and in the hands of some worker when that was asked. */
  readonly lookedAfter = new Set<string>();
  /** It leaves for a worker with another code than this one, of which the fingerprint is given. */
  handedBack: string | null = null;
  /** It is taken up alone, and its code has not been run yet (claim-loader.ts). */
  onTrial = false;
  /** All messages that had come by then, on the store's clock, are here or have been taken in. */
  messagesKnownAt = -Infinity;
  /** What happened next belongs into the row after the one that is being filled. */
  waitsForRow = false;
  /** In the list of runs that have run events. */
  queued = false;
  /** In the list of runs that have something to commit, or may leave memory. */
  toCommit = false;
  /** Nothing of it is under way: it only waits. */
  resting = false;
  timer: Timer<Run> | null = null;
  /** The commit in flight gives it out of the hand: nothing is taken in any more that this memory would keep to itself. */
  leaving = false;
  /** It has left memory; what is still under way of it is nobody's. */
  gone = false;

  readonly #gauge: JournalGauge;
  #whenBack: (() => void) | null = null;
  #at = 0;
  #events: string[] = [];
  #rowAt = 0;
  #messages: string[] = [];
  #runMessages: { runId: string; body: RunMessageBody }[] = [];
  #runMessagesDone: string[] = [];
  #children: (NewRun & { journal: string })[] = [];
  #start: NewRun | null = null;
  #changed = false;
  /** The row that is being filled has the call of a pivot, or the end: what wants the run compensated must come before it. */
  #guards = false;
  #before: { readonly status: RunStatus; readonly stored: Stored; readonly n: number } | null = null;

  constructor(saga: Saga, identity: RunIdentity, status: RunStatus, settings: RunSettings) {
    this.saga = saga;
    this.id = identity.id;
    this.claims = identity.claims;
    this.parent = identity.parent;
    this.status = status;
    this.loadedAs = status;
    this.settings = settings;
    this.#gauge = new JournalGauge(this.state, settings);
  }

  /** Folds a stored journal in. */
  load(claimed: ClaimedRun): void {
    for (const row of claimed.journal) {
      for (const event of row.events) apply(this.state, event, row.at);
      this.n = row.n + 1;
      this.#at = Math.max(this.#at, row.at);
      this.#gauge.load(row);
    }
    this.#gauge.loaded();
    this.lost = claimed.lost;
    this.stored = { pivoted: claimed.pivoted, reason: claimed.reason, refused: this.state.refused };
  }

  /** Puts the start of the run into its first commit. */
  startWith(start: NewRun): void {
    this.#start = start;
  }

  step(name: string): StepDefinition | undefined {
    return stepOf(this.saga, name);
  }

  /** The time of the row that is being filled: what now() gives to the code, and the same at every replay. */
  openRow(now: number): number {
    if (this.#events.length === 0) this.#rowAt = Math.max(this.#at, Math.floor(now));
    return this.#rowAt;
  }

  get rowAt(): number {
    return this.#events.length === 0 ? this.#at : this.#rowAt;
  }

  /** The events of the row that is being filled, as JSON. */
  get unwritten(): readonly string[] {
    return this.#events;
  }

  /** Whether something stands in the row that is being filled. */
  get rowIsOpen(): boolean {
    return this.#events.length > 0;
  }

  /** How large its journal is. */
  get size(): JournalSize {
    return { events: this.state.events, bytes: this.#gauge.bytes, open: this.state.open.length };
  }

  /** How full its journal is, in percent: 0, 50, 80 or 100. */
  get growth(): number {
    return this.#gauge.growth;
  }

  #push(text: string): void {
    this.#events.push(text);
    this.#gauge.wrote(text);
  }

  recordStarted(fields: { readonly deadlineAt?: number }, input: string, now: number): void {
    this.openRow(now);
    this.#push(withText({ t: 'started', ...fields }, 'input', input));
    this.state.events += 1;
    this.state.input = input;
    this.state.deadlineAt = fields.deadlineAt ?? null;
  }

  record(event: JournalEvent, now: number): void {
    const at = this.openRow(now);
    this.#push(JSON.stringify(event));
    this.#gauge.noted(event);
    apply(this.state, event, at);
  }

  /** As record, for what has its input as text. */
  recordCalled(
    event: Omit<Extract<JournalEvent, { t: 'called' }>, 't' | 'input'>,
    input: string | undefined,
    now: number,
  ): CallState {
    if (event.pivot === true) this.#guards = true;
    const at = this.openRow(now);
    this.#push(calledText(event, input));
    this.state.events += 1;
    return applyCalled(this.state, event, input, at);
  }

  recordDone(call: CallState, output: string | undefined, now: number): void {
    this.openRow(now);
    const version = output === undefined ? null : outputVersionOf(this.step(call.step));
    this.#push(doneText(call.id, output, version));
    this.state.events += 1;
    applyDone(this.state, call.id, output, undefined, false, version);
  }

  /** A fallback stands in. `doubt`: the step itself may have happened all the same. */
  recordDegraded(
    call: CallState,
    output: string | undefined,
    degraded: RecordedError,
    doubt: boolean,
    now: number,
  ): void {
    this.openRow(now);
    const event = { t: 'done', call: call.id, degraded, ...(doubt ? { doubt } : {}) };
    this.#push(withText(event, 'output', output));
    this.state.events += 1;
    applyDone(this.state, call.id, output, degraded, doubt);
  }

  /** What transactionCommit has put into the journal. */
  adopt(event: 'done' | 'compensated', call: CallState, output: string | undefined, at: number): void {
    this.n += 1;
    this.#gauge.adopted(output);
    this.#at = at;
    if (event === 'done') {
      applyDone(this.state, call.id, output);
      if (call.pivot) this.stored = { ...this.stored, pivoted: true };
      this.state.events += 1;
    } else apply(this.state, { t: 'compensated', call: call.id }, at);
  }

  /** The end, or for a child the end that waits for its parent. */
  recordEnd(event: 'held' | 'completed', result: string | undefined, now: number): void {
    const at = this.openRow(now);
    this.#guards = true;
    this.#push(withText({ t: event }, 'result', result));
    apply(this.state, { t: event }, at);
    this.state.result = result;
  }

  /** It cannot go on with this code. */
  setMismatch(mismatch: Mismatch): void {
    this.mismatch = mismatch;
    this.flow = null;
  }

  recordStuck(why: StuckWhy, call: CallState | null, error: RecordedError, now: number, of?: readonly string[]): void {
    const ended = of === undefined || of.length === 0 ? {} : { of };
    this.record({ t: 'stuck', why, error, ...(call === null ? {} : { call: call.id }), ...ended }, now);
    this.flow = null;
    this.stuckNow = true;
  }

  /** An error of the user's, as it is recorded and as the code is told it. */
  errorOf(error: unknown): RecordedError {
    return redacted(recordError(error), this.settings.redactError);
  }

  takeIn(runMessage: RunMessage): void {
    this.#runMessagesDone.push(runMessage.id);
    this.#changed = true;
  }

  send(message: string): void {
    this.#messages.push(message);
    this.#changed = true;
  }

  post(runId: string, body: RunMessageBody): void {
    this.#runMessages.push({ runId, body });
    this.#changed = true;
  }

  startChild(start: NewRun, journal: string): void {
    this.#children.push({ ...start, journal });
  }

  /** Whether there is anything that must be committed. */
  get dirty(): boolean {
    return (
      this.#events.length > 0 ||
      this.#changed ||
      this.wantedStatus !== this.status ||
      this.state.pivoted !== this.stored.pivoted
    );
  }

  /**
   * Nothing is taken in just now: it is gone, or about to go; a transaction, or the row that is being filled, has to be committed first;
   * or nobody knows yet who goes on with it.
   */
  get takesNothing(): boolean {
    const { transacting, leaving, gone, waitsForRow, mismatch } = this;
    return transacting || leaving || gone || waitsForRow || mismatch !== null || this.#gauge.rowIsFull;
  }

  /** No attempt is under way or about to begin, and nothing waits to be taken in. */
  get idle(): boolean {
    return this.inFlight.size === 0 && this.effects.length === 0 && this.runEvents.length === 0 && !this.transacting;
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
  refused(): void {
    if (this.#before === null) return;
    this.status = this.#before.status;
    this.stored = this.#before.stored;
    this.n = this.#before.n;
  }

  /** Calls `act` once no commit and no transaction of the run is under way: at once, or when that is said to be so. */
  whenBack(act: () => void): void {
    if (this.committing || this.transacting) this.#whenBack = act;
    else act();
  }

  /** A commit, or a transaction, is no longer under way. */
  isBack(): void {
    if (this.#whenBack === null || this.committing || this.transacting) return;
    const act = this.#whenBack;
    this.#whenBack = null;
    act();
  }

  /** What goes into the next commit. `release`: when it is to be claimed again, if it leaves memory now. */
  flush(release: { readonly wakeAt: number | null } | null): RunCommit {
    const { state } = this;
    const status = this.wantedStatus;
    const figures = this.#gauge.closeRow(this.n);
    const guarded = this.#guards;
    const error = endError(state);
    const refused = state.refused === this.stored.refused ? {} : { refused: state.refused };
    const changed = status !== this.status || state.pivoted !== this.stored.pivoted || 'refused' in refused;
    const update =
      changed || release !== null || figures !== null || guarded
        ? {
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
          }
        : null;
    // A run cannot start as finished: it is then started and finished in one commit.
    const start = this.#start === null ? null : { ...this.#start, status: this.over ? ('running' as const) : status };
    const commit: RunCommit = {
      runId: this.id,
      start,
      journal: this.#events.length === 0 ? null : { n: this.n, at: this.#rowAt, events: `[${this.#events.join(',')}]` },
      // A start says the status itself.
      update:
        start !== null && release === null && status === start.status && !state.pivoted && figures === null
          ? null
          : update,
      runMessagesDone: this.#runMessagesDone,
      runMessages: this.#runMessages,
      children: this.#children,
      messages: this.#messages,
    };
    this.#before = { status: this.status, stored: this.stored, n: this.n };
    if (commit.journal !== null) {
      this.n += 1;
      this.#at = this.#rowAt;
    }
    this.status = status;
    this.stored = { pivoted: state.pivoted, reason: state.reason, refused: state.refused };
    this.waitsForRow = false;
    this.#guards = false;
    this.#start = null;
    this.#events = [];
    this.#messages = [];
    this.#runMessages = [];
    this.#runMessagesDone = [];
    this.#children = [];
    this.#changed = false;
    return commit;
  }
}

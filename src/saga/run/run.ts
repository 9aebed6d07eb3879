/**
 * One run in a worker's memory: its state, what is to be committed next, and what is to be begun once that is durable.
 * The decisions (saga/decide) say what is recorded; the engine commits.
 */
import { IdMap } from '../../runtime/id-map.ts';
import type { RunSettings } from './run-settings.ts';
import { stepOf, type Saga } from '../definition/definition.ts';
import { calledText, doneText, withText } from '../journal/event-text.ts';
import { endError } from '../journal/end-error.ts';
import type { JournalEvent, RecordedError, RunStatus, StuckWhy } from '../journal/events.ts';
import type { Intent, RunEvent, Mismatch, CompensationRequest } from './run-events.ts';
import type { CodeEnding, Flow } from '../replay/flow.ts';
import { JournalGauge } from './journal-gauge.ts';
import type { JournalSize } from '../journal/growth.ts';
import { recordError, redacted } from '../journal/recorded-error.ts';
import { outputVersionOf } from '../journal/recorded-values.ts';
import { readTrace } from '../journal/run-trace.ts';
import type { Timer } from './timer-heap.ts';
import { emptyState, type CallState, type RunState } from '../journal/state.ts';
import { apply } from '../state/fold.ts';
import { applyCalled, applyDone } from '../state/fold-calls.ts';
import type { StepDefinition } from '../definition/steps.ts';
import type { ClaimedRun, RunMessage, RunMessageBody, NewRun, RunCommit, RunUpdate, RunView } from '../store/store.ts';
import type { HandedReply } from './handed-reply.ts';
import { OpenRow } from './open-row.ts';
import { CachedRun } from './cached-run.ts';

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

/** What a fallback gave, and for which error of the step. */
interface Degraded {
  readonly output: string | undefined;
  readonly degraded: RecordedError;
  /** The step itself may have happened all the same. */
  readonly doubt: boolean;
}

type StartedFields = Omit<Extract<JournalEvent, { t: 'started' }>, 't' | 'input'>;
type Stored = Pick<RunView, 'pivoted' | 'reason' | 'refused'>;

export class Run extends CachedRun {
  readonly saga: Saga;
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
  /** Attempts under way, by the call's id, or by compensationId of it. */
  readonly inFlight = new IdMap<(reason: Error) => void>();
  /** Begun once the events recorded so far are durable. */
  intents: Intent[] = [];
  /** A request to compensate that waits for a pivot in flight. */
  pendingCompensation: CompensationRequest | null = null;
  /** The number of the next row. */
  n = 0;
  lost = 0;
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

  readonly #row = new OpenRow();
  readonly #gauge: JournalGauge;
  #before: { readonly status: RunStatus; readonly stored: Stored; readonly n: number } | null = null;

  /** `loadedAs`: the status of a run that is to be loaded from its journal; null: it is a new one. */
  constructor(saga: Saga, identity: RunIdentity, loadedAs: RunStatus | null, settings: RunSettings) {
    super(identity.id, loadedAs === null ? 'active' : 'loading');
    this.saga = saga;
    this.claims = identity.claims;
    this.parent = identity.parent;
    this.status = loadedAs ?? 'running';
    this.loadedAs = this.status;
    this.settings = settings;
    this.#gauge = new JournalGauge(this.state, settings);
  }

  /** Folds a stored journal in. */
  load(claimed: ClaimedRun): void {
    for (const row of claimed.journal) {
      for (const event of row.events) apply(this.state, event, row.at);
      this.n = row.n + 1;
      this.#row.follows(row.at);
      this.#gauge.load(row);
    }
    this.#gauge.loaded();
    this.lost = claimed.lost;
    this.stored = { pivoted: claimed.pivoted, reason: claimed.reason, refused: this.state.refused };
  }

  /** Puts the start of the run into its first commit. */
  startWith(start: NewRun): void {
    this.#row.startWith(start);
  }

  step(name: string): StepDefinition | undefined {
    return stepOf(this.saga, name);
  }

  /** The time of the row that is being filled: what now() gives to the code, and the same at every replay. */
  openRow(now: number): number {
    return this.#row.open(now);
  }

  get rowAt(): number {
    return this.#row.at;
  }

  /** The events of the row that is being filled, as JSON. */
  get unwritten(): readonly string[] {
    return this.#row.events;
  }

  /** Whether something stands in the row that is being filled. */
  get rowIsOpen(): boolean {
    return this.#row.isOpen;
  }

  /** What happened next belongs into the row after the one that is being filled. */
  closeRow(): void {
    this.#row.close();
  }

  /** Whether that the call was made is all there is to be committed, the database being told nothing else. */
  hasOnlyCalled(call: CallState): boolean {
    return this.#row.hasOnlyCalled(call.id) && this.#gauge.isTold;
  }

  /** A transaction that begins now writes the open row with its own event; false: it is committed by itself after all. */
  leaveRowToTransaction(left: boolean): void {
    this.#row.leaveToTransaction(left);
  }

  get isRowLeftToTransaction(): boolean {
    return this.#row.isLeftToTransaction;
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
    this.#row.push(text);
    this.#gauge.wrote(text);
  }

  recordStarted(fields: StartedFields, input: string, now: number): void {
    this.state.startedAt = this.openRow(now);
    this.#push(withText({ t: 'started', ...fields }, 'input', input));
    this.state.events += 1;
    this.state.trace = readTrace(fields.trace);
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
    if (event.pivot === true) this.#row.guard();
    const at = this.openRow(now);
    const text = calledText(event, input);
    this.#row.pushCalled(text, event.call);
    this.#gauge.wrote(text);
    this.state.events += 1;
    return applyCalled(this.state, event, input, at);
  }

  recordDone(call: CallState, output: string | undefined, now: number): void {
    this.openRow(now);
    const version = output === undefined ? null : outputVersionOf(this.step(call.step));
    this.#push(doneText(call.id, output, version));
    this.state.events += 1;
    applyDone(this.state, call.id, { output, version });
  }

  /** A fallback stands in. */
  recordDegraded(call: CallState, { output, degraded, doubt }: Degraded, now: number): void {
    this.openRow(now);
    const event = { t: 'done', call: call.id, degraded, ...(doubt ? { doubt } : {}) };
    this.#push(withText(event, 'output', output));
    this.state.events += 1;
    applyDone(this.state, call.id, { output, degraded, doubt });
  }

  /** What transactionCommit has put into the journal. */
  adopt({ event, call, output, at }: TransactionOutcome): void {
    this.n += 1;
    this.#gauge.adopted(output, this.#row.isLeftToTransaction);
    this.#row.writtenByTransaction(at);
    if (event === 'done') {
      applyDone(this.state, call.id, { output });
      if (call.pivot) this.stored = { ...this.stored, pivoted: true };
      this.state.events += 1;
    } else apply(this.state, { t: 'compensated', call: call.id }, at);
  }

  /** An empty row stands in the place of one that transactionCommit would have written then. */
  skipRow(at: number): void {
    this.n += 1;
    this.#row.follows(at);
  }

  /** The end, or for a child the end that waits for its parent. */
  recordEnd(event: 'held' | 'completed', result: string | undefined, now: number): void {
    const at = this.openRow(now);
    this.#row.guard();
    this.#push(withText({ t: event }, 'result', result));
    apply(this.state, { t: event }, at);
    this.state.result = result;
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

  /** An error of the user's, as it is recorded and as the code is told it. */
  errorOf(error: unknown): RecordedError {
    return redacted(recordError(error), this.settings.redactError);
  }

  takeIn(runMessage: RunMessage): void {
    this.#row.takeIn(runMessage);
  }

  /** Replies that the commit just made by `flush` has taken in. */
  takeHanded(): readonly HandedReply[] {
    return this.#row.takeHanded();
  }

  send(message: string): void {
    this.#row.send(message);
  }

  post(runId: string, body: RunMessageBody): void {
    this.#row.post(runId, body);
  }

  startChild(start: NewRun, journal: string): void {
    this.#row.startChild(start, journal);
  }

  /** Whether there is anything that must be committed. */
  get dirty(): boolean {
    return this.#row.isFilled || this.wantedStatus !== this.status || this.state.pivoted !== this.stored.pivoted;
  }

  /**
   * Nothing is taken in just now: it is not here, or about to go; a transaction, or the row that is being filled, has to be committed
   * first; or nobody knows yet who goes on with it.
   */
  get takesNothing(): boolean {
    if (this.stage !== 'active' && this.stage !== 'committing') return true;
    return this.#row.isClosed || this.#gauge.rowIsFull || this.mismatch !== null;
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
    const figures = this.#gauge.closeRow(this.n);
    // A run cannot start as finished: it is then started and finished in one commit.
    const startAs = this.over ? 'running' : status;
    // A start says the status itself.
    const saysAll = this.#row.isStart && release === null && status === startAs && !state.pivoted && figures === null;
    const update = saysAll ? null : this.#updateTo(status, release, figures);
    this.#before = { status: this.status, stored: this.stored, n: this.n };
    const commit = this.#row.commit(this.id, this.n, update, startAs);
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
    const guarded = this.#row.isGuarded;
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

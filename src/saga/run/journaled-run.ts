/**
 * What a run tells of its journal, and what it writes there: the row that is being filled, with all that goes out in the same commit, and
 * how large the journal is. What is recorded is folded into the state at once. When a row is committed, run.ts says.
 */
import { stepOf, type Saga } from '../definition/definition.ts';
import type { StepDefinition } from '../definition/steps.ts';
import { calledText, doneText, withText } from '../journal/event-text.ts';
import type { JournalEvent, RecordedError } from '../journal/events.ts';
import type { JournalSize } from '../journal/growth.ts';
import { recordError, redacted } from '../journal/recorded-error.ts';
import { outputVersionOf } from '../journal/recorded-values.ts';
import { readTrace } from '../journal/run-trace.ts';
import { emptyState, type CallState, type RunState } from '../journal/state.ts';
import { apply } from '../state/fold.ts';
import { applyCalled, applyDone } from '../state/fold-calls.ts';
import type { NewRun, RunMessage, RunMessageBody } from '../store/store.ts';
import { CachedRun } from './cached-run.ts';
import type { HandedReply } from './handed-reply.ts';
import { JournalGauge } from './journal-gauge.ts';
import { OpenRow } from './open-row.ts';
import type { RunSettings } from './run-settings.ts';

/** What a fallback gave, and for which error of the step. */
interface Degraded {
  readonly output: string | undefined;
  readonly degraded: RecordedError;
  /** The step itself may have happened all the same. */
  readonly doubt: boolean;
}

type StartedFields = Omit<Extract<JournalEvent, { t: 'started' }>, 't' | 'input'>;

export abstract class JournaledRun extends CachedRun {
  readonly saga: Saga;
  readonly settings: RunSettings;
  readonly state: RunState = emptyState();
  /** The number of the next row. */
  n = 0;

  protected readonly row = new OpenRow();
  protected readonly gauge: JournalGauge;

  constructor(saga: Saga, id: string, stage: 'loading' | 'active', settings: RunSettings) {
    super(id, stage);
    this.saga = saga;
    this.settings = settings;
    this.gauge = new JournalGauge(this.state, settings);
  }

  step(name: string): StepDefinition | undefined {
    return stepOf(this.saga, name);
  }

  /** Puts the start of the run into its first commit. */
  startWith(start: NewRun): void {
    this.row.startWith(start);
  }

  /** The time of the row that is being filled: what now() gives to the code, and the same at every replay. */
  openRow(now: number): number {
    return this.row.open(now);
  }

  get rowAt(): number {
    return this.row.at;
  }

  /** The events of the row that is being filled, as JSON. */
  get unwritten(): readonly string[] {
    return this.row.events;
  }

  /** Whether something stands in the row that is being filled. */
  get rowIsOpen(): boolean {
    return this.row.isOpen;
  }

  /** What happened next belongs into the row after the one that is being filled. */
  closeRow(): void {
    this.row.close();
  }

  /** Whether that the call was made is all there is to be committed, the database being told nothing else. */
  hasOnlyCalled(call: CallState): boolean {
    return this.row.hasOnlyCalled(call.id) && this.gauge.isTold;
  }

  /** A transaction that begins now writes the open row with its own event; false: it is committed by itself after all. */
  leaveRowToTransaction(left: boolean): void {
    this.row.leaveToTransaction(left);
  }

  get isRowLeftToTransaction(): boolean {
    return this.row.isLeftToTransaction;
  }

  /** How large its journal is. */
  get size(): JournalSize {
    return { events: this.state.events, bytes: this.gauge.bytes, open: this.state.open.length };
  }

  /** How full its journal is, in percent: 0, 50, 80 or 100. */
  get growth(): number {
    return this.gauge.growth;
  }

  #push(text: string): void {
    this.row.push(text);
    this.gauge.wrote(text);
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
    this.gauge.noted(event);
    apply(this.state, event, at);
  }

  /** It is refused while the store has a message that wants the run compensated, and that this row does not take in. */
  guardRow(): void {
    this.row.guard();
  }

  /** Whether its end, or for a child the end that waits for its parent, stands in the row that is being filled. */
  get isEndUnwritten(): boolean {
    return this.row.isGuarded && (this.state.phase === 'completed' || this.state.held);
  }

  /** As record, for what has its input as text. */
  recordCalled(
    event: Omit<Extract<JournalEvent, { t: 'called' }>, 't' | 'input'>,
    input: string | undefined,
    now: number,
  ): CallState {
    const at = this.openRow(now);
    const text = calledText(event, input);
    this.row.pushCalled(text, event.call);
    this.gauge.wrote(text);
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

  /** An empty row stands in the place of one that transactionCommit would have written then. */
  skipRow(at: number): void {
    this.n += 1;
    this.row.follows(at);
  }

  /** The end, or for a child the end that waits for its parent. */
  recordEnd(event: 'held' | 'completed', result: string | undefined, now: number): void {
    const at = this.openRow(now);
    this.guardRow();
    this.#push(withText({ t: event }, 'result', result));
    apply(this.state, { t: event }, at);
    this.state.result = result;
  }

  /** An error of the user's, as it is recorded and as the code is told it. */
  errorOf(error: unknown): RecordedError {
    return redacted(recordError(error), this.settings.redactError);
  }

  takeIn(runMessage: RunMessage): void {
    this.row.takeIn(runMessage);
  }

  /** Replies that the commit just made by `flush` has taken in. */
  takeHanded(): readonly HandedReply[] {
    return this.row.takeHanded();
  }

  send(message: string): void {
    this.row.send(message);
  }

  post(runId: string, body: RunMessageBody): void {
    this.row.post(runId, body);
  }

  startChild(start: NewRun, journal: string): void {
    this.row.startChild(start, journal);
  }
}

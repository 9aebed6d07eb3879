/**
 * Holds what is recorded of a step against what its attempts were seen to do: whether it was given up for a reason, whether what counts as
 * not happened has not, what may be compensated, and that nothing begins when a run has turned back.
 */
import type { JournalEvent } from '../../../src/saga/journal/events.ts';
import type { AttemptEnd, SeenAttempt } from '../workload/steps.ts';
import { short } from './short.ts';

/** What the declaration of a step says. */
export interface DeclaredStep {
  readonly attempts: number;
  readonly hasDeadline: boolean;
  readonly verifies: boolean;
  readonly fallsBack: boolean;
}

export interface AttemptJudgeOptions {
  /** By the clock of the store. */
  readonly now: () => number;
  readonly say: (breach: string) => void;
  /** Null: it is no step that is attempted. */
  readonly declared: (step: string) => DeclaredStep | null;
  /** Whether something is left of what the call has done. */
  readonly isDone: (runId: string, call: string) => boolean;
  /** Whether a participant has carried out what it had refused before, and had forgotten. */
  readonly isDoneAfterRefusal: (runId: string, call: string) => boolean;
}

/** An attempt, as it was seen. */
export interface Watched {
  readonly what: SeenAttempt['what'];
  readonly token: number;
  readonly nth: number;
  /** The life of the worker that makes it. */
  readonly by: { readonly alive: boolean };
  how: AttemptEnd | 'open';
}

interface SeenCall {
  step: string;
  kind: string;
  pivot: boolean;
  canBeCompensated: boolean;
  readonly attempts: Watched[];
  /** A person has said what became of it. */
  isSettled: boolean;
  /** When the next attempt of it, or of its compensation, is due. */
  dueAt: number;
  /** The last one that is recorded as failed. */
  recorded: number;
  /** An attempt is recorded as lost: who recorded that could not know whether it had begun, nor how it had ended. */
  wasLost: boolean;
  /** As recorded: it was given up, and has not happened, or may have. */
  givenUp: 'definite' | 'unknown' | null;
}

interface SeenRun {
  readonly calls: Map<string, SeenCall>;
  hasTurnedBack: boolean;
}

export class AttemptJudge {
  readonly #options: AttemptJudgeOptions;
  readonly #runs = new Map<string, SeenRun>();

  constructor(options: AttemptJudgeOptions) {
    this.#options = options;
  }

  begins({ runId, call, what, token, nth, by }: SeenAttempt): void {
    const run = this.#run(runId);
    const { attempts, dueAt } = this.#call(run, call);
    const earlyMs = what === 'verified' ? 0 : dueAt - this.#options.now();
    if (earlyMs > 0) this.#say('I12', runId, `${call} is attempted anew ${earlyMs} ms before its time`);
    if (what === 'done' && run.hasTurnedBack)
      this.#say('I8', runId, `${call} was begun although the run had turned back`);
    if (
      what === 'compensated' &&
      attempts.some((each) => each.what === 'done' && each.token === token && each.how === 'open')
    )
      this.#say('I8', runId, `${call} is compensated while an attempt of it is under way that nobody has ended`);
    if (attempts.some((each) => each.what === what && each.by === by && each.how === 'open'))
      this.#say('I8', runId, `${call} is begun once more while an attempt of it is under way in the same worker`);
    attempts.push({ what, token, nth, by, how: 'open' });
  }

  ends({ runId, call, what, token, nth }: SeenAttempt, how: AttemptEnd): void {
    const { attempts } = this.#call(this.#run(runId), call);
    const attempt = attempts.findLast((each) => each.what === what && each.token === token && each.nth === nth);
    // What ends after its time was up has ended then.
    if (attempt !== undefined && (attempt.how === 'open' || attempt.how === 'aborted' || how === 'late'))
      attempt.how = how;
  }

  of(runId: string, call: string): readonly Watched[] {
    return this.#call(this.#run(runId), call).attempts;
  }

  /** An event is in the journal. */
  recorded(runId: string, event: JournalEvent): void {
    const run = this.#run(runId);
    if (event.t !== 'called' && 'call' in event && event.call !== undefined && this.#call(run, event.call).kind === '')
      this.#say('I10', runId, `the journal says of ${event.call} that it is ${event.t}, and knows of no such call`);
    switch (event.t) {
      case 'called':
        this.#called(run, event);
        return;
      case 'undoing':
        run.hasTurnedBack = true;
        return;
      case 'retried':
        for (const call of run.calls.values()) Object.assign(call, { recorded: 0, dueAt: 0 });
        return;
      case 'resolved':
        this.#call(run, event.call).isSettled = true;
        return;
      case 'done':
        this.#done(runId, run, event);
        return;
      case 'attempt failed':
        this.#attemptFailed(runId, run, event);
        return;
      case 'compensation failed':
        this.#call(run, event.call).dueAt = event.retryAt ?? 0;
        return;
      case 'failed':
        this.#failed(runId, run, event);
        return;
      case 'late reply':
        if (event.outcome === 'done') this.#call(run, event.call).givenUp = null;
        return;
      case 'verified':
        this.#call(run, event.call).givenUp = event.outcome === 'done' ? null : 'definite';
        return;
      case 'compensating':
        this.#compensating(runId, this.#call(run, event.call), event.call);
        return;
      case 'stuck':
        this.#stuck(runId, run, event);
        return;
      default:
    }
  }

  #called({ calls }: SeenRun, { call: id, step, kind, pivot, undoable }: Extract<JournalEvent, { t: 'called' }>): void {
    const before = calls.get(id);
    const attempts = before?.attempts ?? [];
    const said = { pivot: pivot === true, canBeCompensated: undoable === true };
    const fresh = { isSettled: false, dueAt: 0, recorded: 0, wasLost: false, givenUp: null };
    calls.set(id, { step, kind, ...said, attempts, ...fresh });
  }

  #done(runId: string, run: SeenRun, { call: id, degraded, doubt }: Extract<JournalEvent, { t: 'done' }>): void {
    const call = this.#call(run, id);
    if (call.kind === 'transaction' && run.hasTurnedBack && degraded === undefined)
      this.#say('I8', runId, `${id} was committed although the run had turned back`);
    if (degraded !== undefined) {
      this.#givenUp(runId, call, id, doubt === true);
      return this.#givenUpForAReason(runId, run, id);
    }
    if (call.kind !== 'step' || call.isSettled || call.attempts.some(({ what }) => what === 'verified')) return;
    const ends = new Set(call.attempts.filter(({ what }) => what === 'done').map(({ how }) => how));
    if (ends.has('done')) return;
    if (ends.has('late')) this.#say('I17', runId, `${id} counts as done, and its time was up`);
    else this.#say('I10', runId, `${id} counts as done, and no attempt of it has said so`);
  }

  #attemptFailed(runId: string, run: SeenRun, event: Extract<JournalEvent, { t: 'attempt failed' }>): void {
    const call = this.#call(run, event.call);
    const { attempt, error } = event;
    if (attempt <= call.recorded)
      this.#say('I10', runId, `attempt ${attempt} of ${event.call} is recorded after ${call.recorded}`);
    call.recorded = attempt;
    call.dueAt = event.retryAt;
    if (error.code === 'HF_STEP_LOST') call.wasLost = true;
    else this.#isNotDone(runId, call, event.call, attempt);
  }

  #failed(runId: string, run: SeenRun, event: Extract<JournalEvent, { t: 'failed' }>): void {
    const call = this.#call(run, event.call);
    this.#givenUp(runId, call, event.call, event.outcome === 'unknown');
    if (run.hasTurnedBack || call.isSettled || event.error.name === 'BeingCompensated') return;
    if (event.error.code !== 'HF_STEP_LOST') this.#isNotDone(runId, call, event.call, event.attempts);
    this.#givenUpForAReason(runId, run, event.call);
  }

  /** What the infrastructure has cut short uses up nothing. */
  #givenUpForAReason(runId: string, run: SeenRun, id: string): void {
    const call = this.#call(run, id);
    const declared = this.#options.declared(call.step);
    if (declared === null || declared.hasDeadline || call.attempts.some(({ how }) => how === 'refused')) return;
    const spent = call.attempts.filter(
      ({ what, how }) => what === 'done' && (how === 'failed' || how === 'timed out' || how === 'late'),
    ).length;
    if (spent >= declared.attempts) return;
    const what = `${id} was given up after ${spent} attempts of ${declared.attempts} that failed by themselves`;
    this.#say('I16', runId, what);
  }

  /**
   * What counts as not happened has not. A refusal is believed as soon as it is heard, also when the command has been sent again meanwhile:
   * that participants remember what they refuse is theirs to keep (docs/guarantees.md). Of one that does not, what it did all the same is
   * compensated once it says so, which is held at the end: then nothing is left (I9).
   */
  #givenUp(runId: string, call: SeenCall, id: string, doubt: boolean): void {
    call.givenUp = doubt ? 'unknown' : 'definite';
    const { isDone, isDoneAfterRefusal } = this.#options;
    if (!doubt && isDone(runId, id) && !isDoneAfterRefusal(runId, id))
      this.#say('I8', runId, `${id} counts as not happened, and it has`);
  }

  /** One that has said in time that it is done. A transaction is not before its commit. */
  #isNotDone(runId: string, { kind, attempts }: SeenCall, id: string, nth: number): void {
    if (kind !== 'step') return;
    const same = attempts.filter((each) => each.what === 'done' && each.nth === nth);
    if (same.length === 1 && same[0]?.how === 'done')
      this.#say('I10', runId, `attempt ${nth} of ${id} is recorded as failed, and it was done`);
  }

  #compensating(runId: string, call: SeenCall, id: string): void {
    call.dueAt = 0;
    if (!call.canBeCompensated) this.#say('I7', runId, `${id} is compensated, and nothing compensates it`);
    if (call.givenUp === 'definite') this.#say('I8', runId, `${id} is compensated, and it has not happened`);
    const isAsked = call.attempts.some(({ what }) => what === 'verified');
    if (call.givenUp === 'unknown' && this.#options.declared(call.step)?.verifies === true && !isAsked)
      this.#say('I8', runId, `${id} is compensated, and nobody has asked whether it happened`);
  }

  #stuck(runId: string, { calls }: SeenRun, { why, call: id }: Extract<JournalEvent, { t: 'stuck' }>): void {
    if (why === 'forward') {
      const pivots = [...calls].filter(([, { pivot }]) => pivot);
      if (!pivots.some(([call]) => this.#options.isDone(runId, call)))
        this.#say('I22', runId, 'it is stuck behind a pivot that has not happened');
    }
    const call = why === 'in doubt' && id !== undefined ? calls.get(id) : undefined;
    const attempts = call?.attempts.filter(({ what }) => what === 'done') ?? [];
    // A worker may be lost before an attempt begins, or before its refusal is recorded: nobody else can tell that from one that was done.
    if (call?.kind === 'step' && !call.wasLost && attempts.length > 0 && attempts.every(({ how }) => how === 'refused'))
      this.#say('I22', runId, `${id} is said to be in doubt, and was refused`);
  }

  #run(runId: string): SeenRun {
    const known = this.#runs.get(runId);
    if (known !== undefined) return known;
    const made: SeenRun = { calls: new Map(), hasTurnedBack: false };
    this.#runs.set(runId, made);
    return made;
  }

  /** A transaction may begin before that it was called is recorded. */
  #call({ calls }: SeenRun, id: string): SeenCall {
    const known = calls.get(id);
    if (known !== undefined) return known;
    const made = {
      step: '',
      kind: '',
      pivot: false,
      canBeCompensated: true,
      attempts: [],
      isSettled: false,
      dueAt: 0,
      recorded: 0,
      wasLost: false,
      givenUp: null,
    };
    calls.set(id, made);
    return made;
  }

  #say(promise: string, runId: string, what: string): void {
    this.#options.say(`${promise}: of ${short(runId)}: ${what}`);
  }
}

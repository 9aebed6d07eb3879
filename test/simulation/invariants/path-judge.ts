/**
 * Holds the way of a run against the promises, event by event of its journal: when it may turn back, what is given up behind its pivot, how
 * often and until when a step is tried, and that nothing is left open when it ends.
 */
import type { JournalEvent, StuckWhy } from '../../../src/saga/journal/events.ts';
import type { SeenAttempt } from '../workload/steps.ts';
import type { DeclaredStep, Watched } from './attempt-judge.ts';
import { short } from './short.ts';

export interface PathJudgeOptions {
  /** By the clock of the store. */
  readonly now: () => number;
  readonly say: (breach: string) => void;
  /** Null: it is no step that is attempted. */
  readonly declared: (step: string) => DeclaredStep | null;
  readonly attemptsOf: (runId: string, call: string) => readonly Watched[];
}

interface Call {
  readonly step: string;
  readonly kind: string;
  readonly pivot: boolean;
  until: number;
  isOpen: boolean;
  isSettled: boolean;
  /** Attempts that are recorded as failed by themselves. */
  spent: number;
}

interface Path {
  readonly calls: Map<string, Call>;
  hasPivoted: boolean;
  hasTurnedBack: boolean;
  stuck: StuckWhy | null;
  /** What a person is asked about. */
  stuckAt: string | null;
}

type Of<T extends JournalEvent['t']> = Extract<JournalEvent, { t: T }>;

const EFFECTS = new Set(['step', 'transaction', 'command', 'child']);
/** By so much may an attempt begin after the time of its step is up: it was meant to begin before, in milliseconds. */
const SLACK_MS = 10_000;

export class PathJudge {
  readonly #options: PathJudgeOptions;
  readonly #paths = new Map<string, Path>();

  constructor(options: PathJudgeOptions) {
    this.#options = options;
  }

  begins({ runId, call: id, what }: SeenAttempt): void {
    const call = this.#path(runId).calls.get(id);
    if (what === 'done' && call !== undefined && this.#options.now() > call.until + SLACK_MS)
      this.#say('I17', runId, `${id} is tried again long after its whole time is up`);
  }

  /** An event is in the journal. */
  recorded(runId: string, event: JournalEvent): void {
    const path = this.#path(runId);
    switch (event.t) {
      case 'called':
        this.#called(path, event);
        return;
      case 'done':
        this.#done(path, event);
        return;
      case 'attempt failed':
        this.#attemptFailed(runId, path, event);
        return;
      case 'failed':
        this.#failed(runId, path, event);
        return;
      case 'undoing':
        this.#turnsBack(runId, path);
        return;
      case 'stuck':
        Object.assign(path, { stuck: event.why, stuckAt: event.call ?? null });
        return;
      case 'retried':
        this.#retried(path, event);
        return;
      case 'skipped':
      case 'resolved':
        path.stuck = null;
        if (event.t === 'resolved') this.#settled(path, event.call);
        return;
      case 'completed':
      case 'held':
        this.#ends(runId, path);
        return;
      default:
    }
  }

  #called({ calls }: Path, { call, step, kind, pivot, until = Infinity }: Of<'called'>): void {
    // Of a command it is when its answer is missed.
    const ends = kind === 'step' || kind === 'transaction' ? until : Infinity;
    calls.set(call, { step, kind, pivot: pivot === true, until: ends, isOpen: true, isSettled: false, spent: 0 });
  }

  #done(path: Path, { call: id, degraded }: Of<'done'>): void {
    const call = path.calls.get(id);
    if (call === undefined) return;
    call.isOpen = false;
    if (call.pivot && degraded === undefined) path.hasPivoted = true;
  }

  #attemptFailed(runId: string, path: Path, { call: id, uncounted }: Of<'attempt failed'>): void {
    const call = path.calls.get(id);
    if (call === undefined || uncounted !== undefined) return;
    call.spent += 1;
    const declared = this.#options.declared(call.step);
    // Behind a pivot, and while the run waits for a person, a step is tried without an end; but not where something may stand in for it.
    const isUncapped = path.stuck !== null || (path.hasPivoted && declared?.fallsBack !== true);
    if (declared !== null && !isUncapped && call.spent >= declared.attempts)
      this.#say('I17', runId, `${id} is to be tried again, and its ${declared.attempts} attempts are used up`);
  }

  #failed(runId: string, path: Path, { call: id, error }: Of<'failed'>): void {
    const call = path.calls.get(id);
    if (call === undefined) return;
    call.isOpen = false;
    const isMeant = error.code === 'HF_REJECTED' || error.code === 'HF_PERMANENT' || call.isSettled;
    if (!path.hasPivoted || path.hasTurnedBack || isMeant || call.kind === 'child') return;
    const { hasDeadline = false, fallsBack = false } = this.#options.declared(call.step) ?? {};
    if (!hasDeadline && !fallsBack)
      this.#say('I7', runId, `${id} is given up behind the pivot, and nobody has refused it`);
  }

  #turnsBack(runId: string, path: Path): void {
    if (path.hasPivoted) this.#say('I7', runId, 'it turns back behind its pivot');
    const at = path.stuckAt === null ? undefined : path.calls.get(path.stuckAt);
    if (path.stuck === 'in doubt' && at?.isOpen === true)
      this.#say('I22', runId, 'it turns back while nobody knows whether its pivot has happened');
    for (const [id, call] of path.calls)
      if (call.pivot && call.isOpen && this.#mayBeHappening(runId, id, call))
        this.#say('I7', runId, `it turns back while its pivot ${id} may be happening`);
    Object.assign(path, { hasTurnedBack: true, stuck: null });
  }

  /** As far as that was seen. */
  #mayBeHappening(runId: string, id: string, { kind }: Call): boolean {
    if (kind === 'command') return true;
    // One that is under way in a worker that was replaced will not commit.
    if (kind === 'transaction') return false;
    return this.#options.attemptsOf(runId, id).some(({ what, how }) => what === 'done' && how !== 'refused');
  }

  #retried(path: Path, { anew = [] }: Of<'retried'>): void {
    path.stuck = null;
    // It has its attempts and its time anew.
    for (const call of path.calls.values()) Object.assign(call, { spent: 0, until: Infinity });
    for (const { call: id } of anew) {
      const call = path.calls.get(id);
      if (call !== undefined) call.isOpen = true;
    }
  }

  #settled({ calls }: Path, id: string): void {
    const call = calls.get(id);
    if (call !== undefined) call.isSettled = true;
  }

  #ends(runId: string, { calls }: Path): void {
    for (const [id, { kind, isOpen }] of calls)
      if (isOpen && EFFECTS.has(kind)) this.#say('I8', runId, `it ends while ${id} is under way`);
  }

  #path(runId: string): Path {
    const known = this.#paths.get(runId);
    if (known !== undefined) return known;
    const made: Path = { calls: new Map(), hasPivoted: false, hasTurnedBack: false, stuck: null, stuckAt: null };
    this.#paths.set(runId, made);
    return made;
  }

  #say(promise: string, runId: string, what: string): void {
    this.#options.say(`${promise}: of ${short(runId)}: ${what}`);
  }
}

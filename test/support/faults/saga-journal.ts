/**
 * What a journal must be in itself: without gaps, each call once, each outcome once, no timer early, each signal once, compensated in
 * reverse, ended once. Folded here anew and not by src/saga/state/fold.ts, which is judged with it.
 */
import type { CallKind } from '../../../src/saga/definition/kind-names.ts';
import type { JournalEvent } from '../../../src/saga/journal/events.ts';
import { ATTEMPTS_KEPT } from './saga-compaction.ts';
import type { RunFacts, StoredRow } from './saga-facts.ts';

/** What has an effect in rows, what outside, and what is a message and its recall. All but the last two can be compensated. */
export const SCENARIO_CALLS = {
  rows: ['debit', 'reserve', 'book'],
  outside: ['charge', 'gift', 'tip', 'line', 'close', 'thank'],
  messages: [['announce', 'faults.announced', 'faults.recalled']],
  final: ['book', 'thank'],
} as const;

export interface CallHistory {
  readonly id: string;
  readonly kind: CallKind;
  readonly step: string;
  /** In the order of starts. */
  readonly place: number;
  readonly until: number | null;
  outcome: 'open' | 'done' | 'failed' | 'timed out';
  doubt: boolean;
  /** The run was told that it failed. */
  givenUp: boolean;
  degraded: boolean;
  /** A reply that came late said that it was done: it is compensated when that is known. */
  late: boolean;
  compensating: boolean;
  compensated: boolean;
  /** When the attempt after this one was due. */
  readonly retries: Map<number, number>;
}

export interface RunHistory {
  readonly calls: ReadonlyMap<string, CallHistory>;
  /** Why it is stuck at the end. */
  readonly stuck: string | null;
}

/** Of rounding, in milliseconds. */
const MS = 1;

/** `compacted`: the numbers of rows that it was allowed to lose. */
export function readJournal(
  run: RunFacts,
  compacted: ReadonlySet<number>,
): { readonly history: RunHistory; readonly breaches: readonly string[] } {
  const reader = new Reader();
  let next = 0;
  for (const row of run.journal) {
    while (compacted.has(next)) next += 1;
    if (row.n !== next) reader.say(`I10: row ${row.n} of the journal comes where ${next} should be`);
    next = row.n + 1;
    reader.row(row);
  }
  reader.end(run);
  return { history: { calls: reader.calls, stuck: reader.stuck }, breaches: reader.breaches };
}

class Reader {
  readonly calls = new Map<string, CallHistory>();
  readonly breaches: string[] = [];
  stuck: string | null = null;
  readonly #signals: { readonly name: string; readonly payload: string }[] = [];
  readonly #signalIds = new Set<string>();
  #deadlineAt: number | null = null;
  #started = false;
  #revoked = false;
  #ended: 'completed' | 'undone' | null = null;
  #pivoted = false;
  #underWay: CallHistory | null = null;
  #lastCompensated = Infinity;
  #late = false;
  #at = 0;

  say(what: string): void {
    this.breaches.push(what);
  }

  row(row: StoredRow): void {
    if (row.at < this.#at) this.say(`I10: row ${row.n} is older than the one before it`);
    this.#at = row.at;
    if (row.at > row.storedAt + MS) this.say(`I12: row ${row.n} was written ${row.at - row.storedAt} ms ahead of time`);
    if (row.n > 0 && row.holder !== 'alive')
      this.say(`I11: row ${row.n} was written when its worker was ${row.holder}`);
    for (const event of row.events) this.#event(event, row);
  }

  #event(event: JournalEvent, row: StoredRow): void {
    if (!this.#started && event.t !== 'started') this.say(`I10: ${event.t} comes before the start`);
    if (this.#ended !== null && !this.#mayFollow(event)) this.say(`I10: ${event.t} comes after the end`);
    if (event.t === 'late reply') this.#late = true;
    switch (event.t) {
      case 'started':
        if (this.#started) this.say('I10: it was started twice');
        this.#started = true;
        this.#deadlineAt = event.deadlineAt ?? null;
        return;
      case 'called':
        if (this.calls.has(event.call)) this.say(`I10: ${event.call} was called twice`);
        if (this.#revoked) this.say(`I7: ${event.call} was called while it was being compensated`);
        this.calls.set(event.call, newCall(event, this.calls.size));
        return;
      case 'attempt failed':
        this.#attempt(event);
        return;
      case 'done':
      case 'failed':
      case 'timed out':
        this.#outcome(event, row);
        return;
      case 'late reply':
        this.#with(event.call, (call) => {
          if (event.outcome === 'done') {
            call.outcome = 'done';
            call.doubt = false;
            call.late = true;
            call.compensated = false;
          } else if (!call.compensating) call.doubt = false;
        });
        return;
      case 'signal':
        if (event.id !== undefined && this.#signalIds.has(event.id)) this.say(`I12: signal ${event.id} came twice`);
        if (event.id !== undefined) this.#signalIds.add(event.id);
        this.#signals.push({ name: event.name, payload: JSON.stringify(event.payload) });
        return;
      case 'undoing':
        if (this.#revoked) this.say('I7: compensating began twice');
        if (this.#pivoted) this.say('I7: it is compensated behind its pivot');
        if (event.reason === 'timed out' && (this.#deadlineAt === null || row.storedAt + MS < this.#deadlineAt))
          this.say('I12: its deadline came early');
        this.#revoked = true;
        return;
      case 'verified':
        this.#with(event.call, (call) => {
          if (!call.doubt) this.say(`I8: ${event.call} was verified, and was not in doubt`);
          call.doubt = false;
          call.outcome = event.outcome === 'done' ? 'done' : 'failed';
        });
        return;
      case 'compensating':
        this.#compensating(event);
        return;
      case 'compensation failed':
        if (this.#underWay?.id !== event.call)
          this.say(`I7: the compensation of ${event.call} failed without having begun`);
        return;
      case 'compensated':
      case 'skipped':
        this.#with(event.call, (call) => {
          if (call.compensated) this.say(`I10: ${event.call} was compensated twice`);
          call.compensated = true;
        });
        this.#underWay = null;
        return;
      case 'stuck':
        this.stuck = `${event.why}: ${event.error.message}`;
        return;
      case 'retried':
      case 'resolved':
        this.stuck = null;
        return;
      case 'completed':
        this.#ended = 'completed';
        return;
      case 'undone':
        this.#ended = 'undone';
        return;
      case 'trying':
      case 'recovered':
      case 'refused':
      case 'held':
        return;
    }
  }

  /** A late reply, and what it makes necessary. */
  #mayFollow(event: JournalEvent): boolean {
    return (
      event.t === 'late reply' ||
      event.t === 'refused' ||
      (this.#late && /^compensat(ing|ed|ion failed)$/.test(event.t))
    );
  }

  #with(id: string, act: (call: CallHistory) => void): void {
    const call = this.calls.get(id);
    if (call === undefined) this.say(`I10: the journal speaks of ${id}, which was never called`);
    else act(call);
  }

  #attempt({ call: id, attempt, retryAt }: Extract<JournalEvent, { t: 'attempt failed' }>): void {
    this.#with(id, (call) => {
      if (call.outcome !== 'open') this.say(`I10: an attempt of ${id} failed after it had ended`);
      const last = Math.max(0, ...call.retries.keys());
      const follows = last < ATTEMPTS_KEPT ? attempt === last + 1 : attempt > last;
      if (!follows) this.say(`I10: attempt ${attempt} of ${id} follows ${last}`);
      call.retries.set(attempt, retryAt);
    });
  }

  #outcome(event: Extract<JournalEvent, { t: 'done' | 'failed' | 'timed out' }>, row: StoredRow): void {
    this.#with(event.call, (call) => {
      if (call.outcome !== 'open') this.say(`I10: ${event.call} was ${call.outcome}, and is ${event.t} later`);
      const timed = event.t === 'timed out' || (event.t === 'done' && call.kind === 'sleep');
      if (timed && (call.until === null || row.at < call.until || row.storedAt + MS < call.until))
        this.say(`I12: ${event.call} ended ${(call.until ?? Infinity) - row.storedAt} ms early`);
      call.outcome = event.t;
      if (event.t === 'failed') {
        call.doubt = event.outcome === 'unknown';
        call.givenUp = true;
      }
      if (event.t !== 'done') return;
      call.degraded = event.degraded !== undefined;
      call.doubt = event.doubt === true;
      if (call.step === 'book') this.#pivoted = true;
      if (call.kind === 'wait') this.#takeSignal(call, JSON.stringify(event.output));
    });
  }

  #takeSignal(call: CallHistory, payload: string): void {
    const at = this.#signals.findIndex((signal) => signal.name === call.step && signal.payload === payload);
    if (at < 0) this.say(`I12: ${call.id} took a signal that was not there, or not any more`);
    else this.#signals.splice(at, 1);
  }

  #compensating({ call: id, round }: Extract<JournalEvent, { t: 'compensating' }>): void {
    this.#with(id, (call) => {
      if (this.#underWay !== null) this.say(`I7: ${id} is compensated while ${this.#underWay.id} still is`);
      if (call.outcome === 'open') this.say(`I8: ${id} is compensated before it has ended`);
      else if (!call.doubt && (call.outcome !== 'done' || call.degraded))
        this.say(`I7: ${id} is compensated, and has not happened`);
      const inTurn = round === 1 && !call.late;
      if (inTurn && call.place > this.#lastCompensated)
        this.say(`I7: ${id} is compensated after one that was started before it`);
      if (inTurn) this.#lastCompensated = call.place;
      call.compensating = true;
      call.compensated = false;
      this.#underWay = call;
    });
  }

  end(run: RunFacts): void {
    const should = { completed: 'completed', compensated: 'undone' } as const;
    const wanted = run.status === 'completed' || run.status === 'compensated' ? should[run.status] : null;
    if (wanted !== this.#ended)
      this.say(`I6: it is ${run.status}, and its journal is ${this.#ended ?? 'not at an end'}`);
    if (run.status === 'compensated' && run.reason === null) this.say('I6: nobody says why it was compensated');
    if (wanted === null) return;
    for (const call of this.calls.values()) {
      if (call.kind === 'sleep' || call.kind === 'wait') continue;
      if (call.outcome === 'open') this.say(`I6: it is ${run.status}, and ${call.id} is open`);
      if (SCENARIO_CALLS.final.some((step) => step === call.step)) continue;
      const happened = call.doubt || (call.outcome === 'done' && !call.degraded);
      const must = happened && (run.status === 'compensated' || call.doubt || call.givenUp);
      if (must && !call.compensated) this.say(`I8: ${call.id} may have happened, and was not compensated`);
    }
  }
}

function newCall(event: Extract<JournalEvent, { t: 'called' }>, place: number): CallHistory {
  return {
    id: event.call,
    kind: event.kind,
    step: event.step,
    place,
    until: event.until ?? null,
    outcome: 'open',
    doubt: false,
    givenUp: false,
    degraded: false,
    late: false,
    compensating: false,
    compensated: false,
    retries: new Map(),
  };
}

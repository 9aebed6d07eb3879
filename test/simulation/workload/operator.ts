/**
 * Who looks after runs that are stuck, once the faults are over: has the company mended what it refuses, has runs tried again, settles by
 * hand what is in doubt, and leaves out a pivot that stands in the way back.
 */
import type { JournalEvent } from '../../../src/saga/journal/events.ts';
import type { RunMessageBody } from '../../../src/saga/store/store.ts';
import type { MemorySagaStore } from '../../../src/testing/saga/memory-saga-store.ts';
import type { MemoryTables } from '../../../src/testing/saga/memory-tables.ts';
import type { Choices } from '../machine/choices.ts';
import type { Company } from '../services/company.ts';

type Stuck = Extract<JournalEvent, { t: 'stuck' }>;

export class Operator {
  readonly #leftOut = new Set<string>();
  /** Calls of which was said that they have not happened. */
  readonly #denied: { readonly runId: string; readonly call: string }[] = [];
  readonly #store: MemorySagaStore;
  readonly #tables: MemoryTables;
  readonly #company: Company;
  readonly #settles: boolean;

  constructor(choices: Choices, store: MemorySagaStore, tables: MemoryTables, company: Company) {
    this.#store = store;
    this.#tables = tables;
    this.#company = company;
    this.#settles = choices.choose('the operator settles by hand', [0.4]) === 1;
  }

  /** Run and call of what stays as it is because a person said so, or said wrongly that it had not happened, and the run heard of it too late. */
  get leftOut(): ReadonlySet<string> {
    const unheard = this.#denied.filter(({ runId, call }) => {
      const events = this.#tables.journalOf(runId).flatMap((row) => row.events);
      const heardAt = events.findIndex((event) => event.t === 'late reply' && event.call === call);
      return heardAt < 0 || heardAt > events.findIndex(({ t }) => t === 'undone');
    });
    return new Set([...this.#leftOut, ...unheard.map(({ runId, call }) => runId + call)]);
  }

  /** The faults are over. */
  look(): void {
    this.#company.mended = true;
    for (const id of this.#tables.runs.keys()) this.lookAt(id);
  }

  lookAt(runId: string): void {
    if (this.#tables.runs.get(runId)?.status === 'stuck')
      void this.#store.postRunMessage(null, runId, this.#actFor(runId), ['stuck']);
  }

  #actFor(runId: string): RunMessageBody {
    const about = { actor: 'operator', reason: 'looked it up' } as const;
    const events = this.#tables.journalOf(runId).flatMap((row) => row.events);
    const stuck = events.findLast((event): event is Stuck => event.t === 'stuck');
    const call = stuck?.call;
    if (stuck === undefined || call === undefined) return { kind: 'retry', ...about };
    if (stuck.why === 'in doubt' && this.#settles) {
      const isDone = this.#company.settle(runId + call);
      if (!isDone) this.#denied.push({ runId, call });
      return { kind: 'resolve', call, as: isDone ? 'done' : 'not done', ...about };
    }
    const isBehind = stuck.why === 'forward' && events.some(({ t }) => t === 'undoing');
    // A child that has passed its own pivot is not taken back.
    if (!isBehind && stuck.error.code !== 'HF_SAGA_PIVOTED') return { kind: 'retry', ...about };
    this.#leftOut.add(runId + call);
    return { kind: 'skip', call, ...about };
  }
}

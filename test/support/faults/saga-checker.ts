/**
 * The judge of sagas: compares what the journals say with what tables and ledger saw (I6-I13 of
 * docs/guarantees.md). Pure. It judges when the faults are over and nothing moves any more. What a journal must be in itself is
 * judged in saga-journal.ts.
 */
import { mayBeCompacted } from './saga-compaction.ts';
import type { RowEffect, RunFacts, SagaFacts } from './saga-facts.ts';
import { SCENARIO_CALLS, readJournal, type CallHistory, type RunHistory } from './saga-journal.ts';
import type { OutsideEntry } from './saga-outside.ts';

export interface SagaExpectations {
  /** Runs whose start was acknowledged. */
  readonly started?: readonly string[];
  /** Runs that must be stuck at the end. Default: none. */
  readonly stuck?: readonly string[];
  /** Runs that must not be there: their start was rolled back. */
  readonly rolledBack?: readonly string[];
  /** False where nobody keeps the histories' code. Default true. */
  readonly replayed?: boolean;
}

const MS = 2;

/** Every breach of a promise, in words. Empty is good. */
export function sagaBreaches(facts: SagaFacts, expectations: SagaExpectations = {}): readonly string[] {
  const { started = [], stuck = [], rolledBack = [], replayed = true } = expectations;
  const found: string[] = [];
  const byId = new Map(facts.runs.map((run) => [run.id, run]));
  const ids = new Set(byId.keys());
  for (const id of started)
    if (!ids.has(id)) found.push(`I5: the start of ${id} was acknowledged, and it is not there`);
  for (const id of rolledBack) if (ids.has(id)) found.push(`I2: the start of ${id} was rolled back, and it is there`);
  const expected = new Set(stuck);
  const rows = groupedByRun(facts.effects);
  const entries = groupedByRun(facts.outside);
  const sums: Sums = { debit: 0, charge: 0, reserve: 0, completed: 0 };
  for (const run of facts.runs) {
    const compacted = facts.tampered.filter((row) => row.run === run.id && mayBeCompacted(row, run));
    const { history, breaches } = readJournal(run, new Set(compacted.map(({ n }) => n)));
    const say = (what: string): void => void found.push(`${run.id}: ${what}`);
    for (const breach of breaches) say(breach);
    if (run.status === 'stuck') {
      if (!expected.has(run.id)) say(`I6: it is stuck: ${history.stuck ?? ''}`);
    } else if (expected.has(run.id)) say(`I6: it is ${run.status}, and should be stuck`);
    const seen = { rows: rows.get(run.id) ?? [], outside: entries.get(run.id) ?? [] };
    judgeEffects(run, history, seen, sums, say);
    judgeMessages(run, history, facts.messages, say);
    judgeRetries(history, seen.outside, say);
  }
  for (const run of new Set([...rows.keys(), ...entries.keys()]))
    if (!ids.has(run)) found.push(`I2: there are effects of ${run}, which is not there`);
  if (stuck.length === 0)
    for (const step of ['debit', 'charge', 'reserve'] as const)
      if (sums[step] !== sums.completed)
        found.push(`I9: ${step} comes to ${sums[step]}, the runs that completed to ${sums.completed}`);
  for (const { act, run, n } of facts.tampered.filter((row) => !mayBeCompacted(row, byId.get(row.run))))
    found.push(`I10: ${act} of row ${n} of ${run}`);
  if (replayed) found.push(...facts.mismatches.map((what) => `I10: ${what}`));
  found.push(...facts.unfinished.map((what) => `I13: unfinished: ${what}`));
  return found;
}

interface Sums {
  debit: number;
  charge: number;
  reserve: number;
  completed: number;
}

interface Seen {
  readonly rows: readonly RowEffect[];
  readonly outside: readonly OutsideEntry[];
}

/** What is left of each call must be what the journal says, and in the order that compensating must have. */
function judgeEffects(run: RunFacts, history: RunHistory, seen: Seen, sums: Sums, say: (what: string) => void): void {
  const rows = countRows(seen.rows, say);
  const outside = countOutside(seen.outside, say);
  for (const id of [...rows.keys(), ...outside.keys()])
    if (!history.calls.has(id)) say(`I7: ${id} has an effect, and the journal knows of no such call`);
  for (const call of history.calls.values()) {
    const isRow = SCENARIO_CALLS.rows.some((step) => step === call.step);
    if (!isRow && !SCENARIO_CALLS.outside.some((step) => step === call.step)) continue;
    const count = (isRow ? rows : outside).get(call.id) ?? { done: 0, compensated: 0, amount: 0 };
    const left = count.done - count.compensated;
    if (call.step === 'debit' || call.step === 'charge' || call.step === 'reserve')
      sums[call.step] += left * count.amount;
    if (call.step === 'debit' && run.status === 'completed') sums.completed += count.amount;
    if (run.status !== 'completed' && run.status !== 'compensated') continue;
    const stands = call.outcome === 'done' && !call.degraded && !call.compensated;
    if (left > 0 && !stands) say(`I8: ${call.id} has an effect that nobody took back`);
    if (left <= 0 && stands) say(`I7: ${call.id} is done, and has no effect`);
  }
  judgeOrder(
    history,
    [...seen.outside].filter(({ what }) => what === 'compensate'),
    say,
  );
  judgeOrder(
    history,
    seen.rows.filter(({ what }) => what === 'compensate'),
    say,
  );
}

/** Compensations in reverse order of start, by what was seen of them: each call's first. */
function judgeOrder(
  history: RunHistory,
  compensated: readonly { readonly call: string }[],
  say: (what: string) => void,
): void {
  let last = Infinity;
  for (const call of new Set(compensated.map((each) => each.call))) {
    const known = history.calls.get(call);
    if (known === undefined || known.late) continue;
    const { place } = known;
    if (place > last) say(`I7: ${call} was compensated after one that was started before it`);
    last = place;
  }
}

interface Count {
  done: number;
  compensated: number;
  amount: number;
}

/** Rows are exactly once, whatever happens. */
function countRows(rows: readonly RowEffect[], say: (what: string) => void): ReadonlyMap<string, Count> {
  const counts = new Map<string, Count>();
  for (const { what, call, amount } of rows) {
    const count = counts.get(call) ?? { done: 0, compensated: 0, amount };
    counts.set(call, count);
    if (what === 'compensate') count.compensated += 1;
    else count.done += 1;
    if (what === 'do' && count.compensated > 0) say(`I8: ${call} was done after its compensation`);
    if (count.done > 1) say(`I7: ${call} was done ${count.done} times`);
    if (count.compensated > count.done)
      say(`I7: ${call} was compensated ${count.compensated} times, and done ${count.done} times`);
  }
  return counts;
}

/**
 * As the other side counts: each key once, and nothing from a worker that has been replaced. A compensation that finds nothing to compensate
 * bears it.
 */
function countOutside(entries: readonly OutsideEntry[], say: (what: string) => void): ReadonlyMap<string, Count> {
  const counts = new Map<string, Count>();
  const keys = new Set<string>();
  const over = new Set<string>();
  let token = 0;
  for (const entry of entries) {
    const { what, call, key, amount } = entry;
    if (entry.token < token) continue;
    token = entry.token;
    const count = counts.get(call) ?? { done: 0, compensated: 0, amount };
    counts.set(call, count);
    if (keys.has(key)) continue;
    keys.add(key);
    if (what === 'compensate') {
      over.add(call);
      if (count.done > count.compensated) count.compensated += 1;
      continue;
    }
    if (over.has(call)) say(`I8: ${call} was done after its compensation`);
    count.done += 1;
    if (count.done > 1) say(`I7: ${call} was done under ${count.done} keys`);
  }
  return counts;
}

function judgeMessages(
  run: RunFacts,
  history: RunHistory,
  messages: SagaFacts['messages'],
  say: (what: string) => void,
): void {
  for (const [step, topic, recall] of SCENARIO_CALLS.messages) {
    const call = history.calls.get(step);
    const sent = messages.filter((each) => each.run === run.id && each.topic === topic).length;
    const recalled = messages.filter((each) => each.run === run.id && each.topic === recall).length;
    if (sent !== (call === undefined ? 0 : 1)) say(`I1: ${topic} was sent ${sent} times`);
    if (recalled !== (call?.compensated === true ? 1 : 0)) say(`I7: ${recall} was sent ${recalled} times`);
  }
}

/** No retry before its time. The ledger and the database stand on one machine in these tests, so their clocks are the same. */
function judgeRetries(history: RunHistory, outside: readonly OutsideEntry[], say: (what: string) => void): void {
  for (const entry of outside) {
    const call: CallHistory | undefined = history.calls.get(entry.call);
    const due = entry.what === 'do' ? call?.retries.get(entry.attempt - 1) : undefined;
    if (due !== undefined && entry.at + MS < due)
      say(`I12: attempt ${entry.attempt} of ${entry.call} began ${due - entry.at} ms before it was due`);
  }
}

function groupedByRun<T extends { readonly run: string }>(all: readonly T[]): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const each of all) {
    const group = groups.get(each.run);
    if (group === undefined) groups.set(each.run, [each]);
    else group.push(each);
  }
  return groups;
}

/**
 * The judge of a reference saga's run on PostgreSQL: gathers what tables, ledger and books say of it, and has it checked by the judge of
 * the test kit and by its scenario. Empty is good.
 */
import type pg from 'pg';
import type { JournalRow } from '../../../src/saga/journal/events.ts';
import { stepOf } from '../../../src/saga/definition/definition.ts';
import type { ClientStore } from '../../../src/saga/store/store.ts';
import type { TransactionHandle } from '../../../src/postgres/executor.ts';
import { checkRun } from '../../../src/testing/saga/check-run.ts';
import type { TestEffect } from '../../../src/testing/saga/effects-log.ts';
import type { MemoryMessage } from '../../../src/testing/saga/memory-rows.ts';
import { callOf } from './saga-domain.ts';
import { unfinishedRuns } from './saga-facts.ts';
import type { OutsideNote } from './reference-outside.ts';
import { readBooks, type Scenario } from './reference-scenarios.ts';
import type { EffectRow } from './reference-services.ts';

export interface JudgedRun {
  readonly scenario: Scenario;
  readonly id: string;
  /** By what the books know it. */
  readonly of: string;
  /** Its journal at the moments when a worker died. */
  readonly earlier: readonly (readonly JournalRow[])[];
  readonly notes: readonly OutsideNote[];
}

export async function judgeRun(
  pool: pg.Pool,
  store: ClientStore<TransactionHandle>,
  { scenario, id, of, earlier, notes }: JudgedRun,
): Promise<readonly string[]> {
  const [view] = await store.read([id]);
  if (view === undefined) return ['the run is gone'];
  const journal = await store.journal(id);
  const { rows } = await pool.query<EffectRow>(
    'SELECT what, key, kind FROM effect WHERE starts_with(key, $1) ORDER BY position',
    [id],
  );
  const { rows: messages } = await pool.query<MemoryMessage>(
    `SELECT id, topic, key, payload, headers FROM holdfast.outbox WHERE headers ->> 'correlationid' = $1 ORDER BY seq`,
    [id],
  );
  const own = notes.filter(({ key }) => key.startsWith(id));
  const effects = effectsOf(scenario, id, rows, own);
  const found = await checkRun({
    saga: scenario.saga,
    run: {
      ...view,
      worker: null,
      claims: 0,
      lost: 0,
      wakeAt: null,
      deadlineAt: null,
      parent: null,
      journal,
      runMessages: [],
    },
    effects,
    messages,
    earlier,
    allowStuck: false,
  });
  // With the mark of its inbox and the record of the call, a participant does a command once, however often it is sent.
  const twice = effects.filter(({ kind, places }) => kind === 'command' && places.length > 1);
  return [
    ...(view.status === scenario.ends ? [] : [`the run is ${view.status}, and should be ${scenario.ends}`]),
    ...found,
    ...twice.map(({ name, places }) => `${name} is a command and was done ${places.length} times`),
    ...(await unfinishedRuns(pool)).map((what) => `unfinished: ${what}`),
    ...scenario.audit(await readBooks(pool, of, id, own), view.result),
  ];
}

/**
 * As the judge wants them: one effect for each key, with all its places. What a saga compensates is all of one kind in each of the four, so
 * the order of the rows and that of the notes are nowhere compared with each other.
 */
function effectsOf(
  { saga }: Scenario,
  runId: string,
  rows: readonly EffectRow[],
  notes: readonly OutsideNote[],
): readonly TestEffect[] {
  const effects = new Map<string, TestEffect & { readonly places: number[] }>();
  const seen = [...rows, ...notes.map((note) => ({ ...note, kind: 'step' as const }))];
  for (const [place, { what, key, kind }] of seen.entries()) {
    const known = effects.get(key);
    if (known !== undefined) {
      known.places.push(place);
      continue;
    }
    const call = callOf(key);
    const step = call.split(':')[0] ?? '';
    if (stepOf(saga, step) === undefined) throw new Error(`${key} is the key of no step of ${saga.name}.`);
    const name = what === 'compensated' ? `compensate ${call}` : call;
    effects.set(key, { name, runId, saga: saga.name, step, call, kind, what, idempotencyKey: key, places: [place] });
  }
  return [...effects.values()];
}

/**
 * New code under old runs, at every step of them (I6, I7, I10): a run is left after each row of its journal and taken up by code that
 * has changed meanwhile. Legal changes go on; illegal ones make it stuck, with both sides named, and a cancel then compensates it from its
 * journal alone.
 *
 * Fails when a call is matched to the wrong record, when compensating needs the code of the run, and when what comes after a journal that
 * fits is refused.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError } from '../../src/errors.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { saga, type RunContext, type Saga } from '../../src/saga/definition/definition.ts';
import type { JournalRow } from '../../src/saga/journal/events.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import type { Step } from '../../src/saga/definition/steps.ts';
import { createWorker } from '../../src/saga/worker/worker.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let database: Database;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url, max: 10 });
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

/** What was done and compensated, by run. */
const seen = new Map<string, string[]>();
const note = (run: string, what: string): void => void seen.set(run, [...(seen.get(run) ?? []), what]);

const local = (name: string): Step<number, number> =>
  step({
    run: (value: number, { runId }) => {
      note(runId, name);
      return value + 1;
    },
    compensate: (_undo, { runId }) => note(runId, `compensate ${name}`),
  });

const steps = {
  a: local('a'),
  b: local('b'),
  c: local('c'),
  t: transaction({
    run: (value: number, { runId }) => {
      note(runId, 't');
      return value * 2;
    },
    compensate: (_undo, { runId }) => note(runId, 'compensate t'),
  }),
  bad: step({
    run: (): void => {
      throw new PermanentError('bad');
    },
  }),
  extra: local('extra'),
};
type Context = RunContext<{ readonly end: string }, typeof steps, { readonly [Signal in never]: never }>;
type Code = (context: Context) => Promise<unknown>;

const name = 'renewed';
const withCode = (run: Code): Saga =>
  saga({ name, input: z.object({ end: z.enum(['well', 'badly']) }), steps, run: run as never }) as unknown as Saga;

const old: Code = async ({ input, steps: s, sleep }) => {
  const a = await s.a(1);
  const [b, t] = await Promise.all([s.b(a), s.t(a)]);
  await sleep(1);
  const c = await s.c(b + t);
  if (input.end === 'badly') await s.bad(undefined);
  return c;
};

async function within(
  definition: Saga,
  act: (worker: ReturnType<typeof createWorker>) => Promise<void>,
): Promise<void> {
  const worker = createWorker({ database, sagas: [definition], lease: '1s', idlePoll: 20 });
  await worker.start();
  try {
    await act(worker);
  } finally {
    await worker.stop();
  }
}

/** The journal of a run under the old code. */
async function history(end: 'well' | 'badly'): Promise<readonly JournalRow[]> {
  let rows: readonly JournalRow[] = [];
  await within(withCode(old), async (worker) => {
    const run = await worker.sagas.start(withCode(old) as never, { end } as never);
    await run.result({ timeout: '60s' }).catch(() => {});
    rows = await journalOf(run.id);
  });
  return rows;
}

async function journalOf(id: string): Promise<readonly JournalRow[]> {
  const found = await database.query(
    'SELECT n, extract(epoch FROM at)::float8 * 1000 AS at, events FROM holdfast.saga_journal WHERE saga_id = $1 ORDER BY n',
    [id],
  );
  return found.rows as JournalRow[];
}

/** One run for each row: as a worker would have left it right after that one. */
async function leftBehind(rows: readonly JournalRow[]): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let kept = 1; kept <= rows.length; kept += 1) {
    const part = rows.slice(0, kept);
    const events = part.flatMap((row) => row.events);
    if (events.some(({ t }) => t === 'completed' || t === 'undone')) break;
    const id = randomUUID();
    ids.push(id);
    const status = events.some(({ t }) => t === 'undoing') ? 'compensating' : 'running';
    await database.query(
      `INSERT INTO holdfast.saga_run (id, saga, version, status, reason, wake_at)
       VALUES ($1, $2, 1, $3, CASE WHEN $3 = 'compensating' THEN 'failed' END, clock_timestamp())`,
      [id, name, status],
    );
    for (const row of part)
      await database.query(
        'INSERT INTO holdfast.saga_journal (saga_id, n, events, at) VALUES ($1, $2, $3, to_timestamp($4::float8 / 1000))',
        [id, row.n, JSON.stringify(row.events), row.at],
      );
    for (const event of events) {
      if (event.t === 'done' && event.call !== 'sleep#1') note(id, event.call);
      if (event.t === 'compensated') note(id, `compensate ${event.call}`);
    }
  }
  return ids;
}

interface Ended {
  readonly status: string;
  readonly result: unknown;
  readonly error: { readonly message: string } | null;
}

async function ends(ids: readonly string[], among: readonly string[]): Promise<readonly Ended[]> {
  return eventually('all runs to end', async () => {
    const { rows } = await database.query(
      'SELECT status, result, error FROM unnest($1::uuid[]) WITH ORDINALITY AS i (id, place) JOIN holdfast.saga_run r USING (id) ORDER BY place',
      [ids],
    );
    return rows.every((row) => among.includes(String(row['status']))) ? (rows as unknown as Ended[]) : undefined;
  });
}

describe('legal changes', () => {
  const legal: readonly { readonly what: string; readonly code: Code; readonly result: number }[] = [
    { what: 'none', code: old, result: 8 },
    {
      what: 'a step more at the end',
      code: async (context) => context.steps.extra((await old(context)) as number),
      result: 9,
    },
    {
      what: 'the same calls, written in another way',
      code: async ({ steps: s, sleep }) => {
        const a = await s.a(1);
        const both = [s.b(a), s.t(a)];
        const [b = 0, t = 0] = await Promise.all(both);
        await sleep('1ms');
        return s.c([b, t].reduce((sum, each) => sum + each, 0));
      },
      result: 8,
    },
  ];
  it.each(legal)('$what: every run goes on and completes', async ({ code, result }) => {
    const ids = await leftBehind(await history('well'));
    expect(ids.length).toBeGreaterThanOrEqual(4);
    await within(withCode(code), async () => {
      const ended = await ends(ids, ['completed', 'compensated', 'stuck']);
      expect(ended).toEqual(ids.map(() => ({ status: 'completed', result, error: null })));
    });
    for (const id of ids)
      expect(new Set(seen.get(id))).toEqual(new Set(['a', 'b', 't', 'c', ...(result === 9 ? ['extra'] : [])]));
  });
});

describe('illegal changes', () => {
  const illegal: readonly { readonly what: string; readonly code: Code; readonly both: RegExp }[] = [
    {
      what: 'another input',
      code: async (context) => {
        await context.steps.a(2);
        return old(context);
      },
      both: /the call a with the input 1; the code calls it with 2/,
    },
    {
      what: 'another step first',
      code: async (context) => {
        await context.steps.extra(1);
        return old(context);
      },
      both: /the call a \(step\) with 1; the code calls extra \(step\) with 1/,
    },
    { what: 'a step less', code: async () => 8, both: /the call a \(step\) with 1; the code returns there/ },
  ];
  it.each(illegal)('$what: every run is stuck, and a cancel compensates it', async ({ code, both }) => {
    const left = await leftBehind(await history('well'));
    // Before its first call the run has nothing that the new code could contradict.
    const ids: string[] = [];
    for (const id of left) {
      const events = (await journalOf(id)).flatMap((row) => row.events);
      if (events.some(({ t }) => t === 'called')) ids.push(id);
    }
    expect(ids.length).toBeGreaterThanOrEqual(3);
    await within(withCode(code), async (worker) => {
      const stuck = await ends(ids, ['completed', 'compensated', 'stuck']);
      expect(stuck.map(({ status }) => status)).toEqual(ids.map(() => 'stuck'));
      for (const { error } of stuck) expect(error?.message).toMatch(both);
      for (const id of ids) await worker.sagas.handle(withCode(code) as never, id).cancel({ reason: 'new code' });
      expect((await ends(ids, ['completed', 'compensated'])).map(({ status }) => status)).toEqual(
        ids.map(() => 'compensated'),
      );
    });
    for (const id of ids) expectCompensated(seen.get(id) ?? []);
  });
});

it('a run that is being compensated needs no code at all but its steps', async () => {
  const ids = await leftBehind(await history('badly'));
  const far = ids.filter((id) => (seen.get(id) ?? []).length >= 4);
  expect(far.length).toBeGreaterThanOrEqual(3);
  const gone: Code = async () => {
    throw new Error('the code is gone');
  };
  await within(withCode(gone), async () => {
    await ends(ids, ['compensated', 'stuck']);
  });
  for (const id of ids) {
    const { rows } = await database.query('SELECT status FROM holdfast.saga_run WHERE id = $1', [id]);
    const wasCompensating = (await journalOf(id)).some(({ events }) => events.some(({ t }) => t === 'undone'));
    if (wasCompensating) expectCompensated(seen.get(id) ?? []);
    expect(rows).toEqual([{ status: wasCompensating ? 'compensated' : 'stuck' }]);
  }
});

/** Everything that was done was compensated, in reverse; what was in doubt may have been compensated without having been done. */
function expectCompensated(notes: readonly string[]): void {
  const did = new Set(notes.filter((each) => !each.startsWith('compensate ')));
  const undid = notes.filter((each) => each.startsWith('compensate ')).map((each) => each.slice('compensate '.length));
  for (const each of did) expect(undid).toContain(each);
  const order = ['c', 't', 'b', 'a'];
  const firsts = [...new Set(undid)];
  expect(firsts).toEqual(order.filter((each) => firsts.includes(each)));
}

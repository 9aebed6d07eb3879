/**
 * Workers that stand still for longer than their lease, and live: what they had goes to others, again and again, and is not blamed for
 * deaths that were none. On PostgreSQL.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { createPostgresWorkerStore } from '../../src/saga/store/postgres/postgres-worker-store.ts';
import { eventually } from '../support/eventually.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** A step that takes long. */
function working() {
  const goOn = gate();
  const attempts: number[] = [];
  const work = saga({
    name: 'work',
    input: z.null(),
    steps: {
      act: step({
        retry: { attempts: 1 },
        async run(_: null, { attempt }) {
          attempts.push(attempt);
          await goOn.promise;
        },
      }),
    },
    run: ({ steps }) => steps.act(null),
  });
  return { work, attempts, goOn };
}

/** More than make a run stuck whose workers died. */
const LOSSES = 7;

interface Seen {
  readonly lost: number;
  readonly worker: string | null;
  /** Whether who lost it last was heard of. */
  readonly heard: boolean;
}

async function see(id: string): Promise<Seen> {
  const { rows } = await lab.test.pool.query<Seen>(
    `SELECT lost, worker, EXISTS (SELECT 1 FROM holdfast.worker w WHERE (r.lost_to ->> r.lost::text)::uuid = ANY (w.lapsed)) AS heard
     FROM holdfast.saga_run r WHERE id = $1`,
    [id],
  );
  if (rows[0] === undefined) throw new Error(`There is no run ${id}.`);
  return rows[0];
}

it('a run that is lost by workers that live goes on', async () => {
  const { work, attempts, goOn } = working();
  await lab.worker([work], { lease: '1s' });
  await lab.worker([work], { lease: '1s' });
  const run = await lab.client([work]).start(work, null);
  let made = 0;
  // On a busy machine they lose it by themselves as well.
  for (let lost = 0; lost < LOSSES;) {
    const worker = await eventually(
      'another attempt',
      async () => attempts.length > made && (await see(run.id)).worker,
    );
    made = attempts.length;
    await lab.test.pool.query('UPDATE holdfast.worker SET lease_until = clock_timestamp() WHERE id = $1', [worker]);
    lost = await eventually('the word of who has lost it', async () => {
      const seen = await see(run.id);
      return seen.lost > lost && seen.heard && seen.lost;
    });
  }
  await eventually('the attempt behind the last one', async () => attempts.length > made);
  goOn.open();
  await lab.until(run.id, 'completed');
  const failed = (await lab.events(run.id)).findLast((event) => event.t === 'attempt failed');
  expect(failed).toMatchObject({ uncounted: 'lost', lapsed: expect.any(Number) });
});

it('a loss that a worker tells of as it signs off is no death, one without a word is', async () => {
  const { work } = working();
  await lab.client([work]).start(work, null);
  const store = createPostgresWorkerStore({ database: lab.database });
  const take = async (lapsed: readonly string[] = []) => {
    const id = randomUUID();
    const sagas = [{ saga: 'work', version: 1 }];
    await store.register({ id, name: 'test', sagas, leaseMs: 60_000, lapsed });
    const [claimed] = await store.claim(id, [{ saga: 'work', version: 1, limit: 1 }]);
    return { id, lost: claimed?.lost, lapsed: claimed?.lapsed };
  };
  const first = await take();
  expect(first).toMatchObject({ lost: 0, lapsed: [] });
  await store.retire(first.id, true);
  const second = await take();
  expect(second).toMatchObject({ lost: 1, lapsed: [1] });
  await lab.takeOver(second.id);
  const third = await take();
  expect(third).toMatchObject({ lost: 2, lapsed: [1] });
  await lab.takeOver(third.id);
  // Of a dozen the last ones are known.
  for (let lost = 3; lost <= 12; lost += 1) await store.retire((await take()).id, true);
  const last = await take([second.id, third.id]);
  expect(last).toMatchObject({ lost: 13, lapsed: [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13] });
  await store.retire(last.id, false);
  await store.close();
});

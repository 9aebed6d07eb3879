/**
 * A run whose code kills every worker that runs it is found, stuck and named, and all others end (I6, I13): whenever its code kills, and
 * however many are in memory beside it. With code that bears it the run ends as well.
 *
 * Fails when workers that died are not counted, when suspects are tried side by side, or when a timer is accounted for before it is told.
 */
import { afterAll, expect, it } from 'vitest';
import { openDatabase } from '../../src/postgres/database.ts';
import { createSagas } from '../../src/saga/client/client.ts';
import { LOST_BEFORE_TRIAL, TRIALS_BEFORE_STUCK } from '../../src/saga/decide/quarantine.ts';
import { endChildren, finishWhen, startChild } from '../support/faults/child.ts';
import type { SagaPoisonChildSettings } from '../support/faults/saga-poison-child.ts';
import { MOMENTS, poisonousSaga } from '../support/faults/saga-poison.ts';
import { eventually } from '../support/eventually.ts';
import { createTestDatabase } from '../support/servers.ts';

afterAll(endChildren);

const INNOCENTS = 12;

it.concurrent.each(MOMENTS)('is found and stuck, and the others complete (%s)', async (dies) => {
  const test = await createTestDatabase({ migrate: true });
  const database = openDatabase({ url: test.url, max: 4 });
  const definition = poisonousSaga(() => {});
  const sagas = createSagas({ database, sagas: [definition] });
  const start = async (n: number, moment: typeof dies | 'never') =>
    sagas.start(definition, { n, dies: moment }, { key: `${n}` });
  const innocents = [];
  for (let n = 0; n < INNOCENTS / 2; n += 1) innocents.push(await start(n, 'never'));
  const poison = await start(-1, dies);
  for (let n = INNOCENTS / 2; n < INNOCENTS; n += 1) innocents.push(await start(n, 'never'));
  for (const run of [...innocents, poison]) await run.signal('go', null);

  const statuses = async () =>
    (await test.pool.query<{ id: string; status: string }>('SELECT id, status FROM holdfast.saga_run')).rows;
  const left = async (ends: readonly string[]) => (await statuses()).filter(({ status }) => !ends.includes(status));
  let deaths = 0;
  for (;;) {
    const settings: SagaPoisonChildSettings = { url: test.url, mended: false };
    const child = startChild('saga-poison-child.ts', settings);
    await finishWhen(child, async () => {
      await eventually('the runs to end', async () => child.gone || (await left(['completed', 'stuck'])).length === 0);
    });
    const { code, signal } = await child.exit;
    if (signal !== 'SIGKILL') {
      if (code !== 0) throw new Error(child.log);
      break;
    }
    deaths += 1;
    // On a busy machine a trial may also end with a lease that was not renewed in time, or an innocent die beside it once more.
    if (deaths > 3 * (LOST_BEFORE_TRIAL + TRIALS_BEFORE_STUCK)) throw new Error(`it goes on killing\n${child.log}`);
  }
  expect(deaths).toBeGreaterThan(1);
  expect((await statuses()).filter(({ status }) => status !== 'completed')).toEqual([
    { id: poison.id, status: 'stuck' },
  ]);
  for (const [n, run] of innocents.entries()) expect(await run.result()).toBe(n + 2);
  expect((await poison.status()).error).toMatchObject({ code: 'HF_STEP_LOST' });

  // As the operations write it.
  await test.pool.query(`SELECT holdfast.send_saga_mail($1, 'retry', $2, '{stuck}', false)`, [
    poison.id,
    JSON.stringify({ kind: 'retry', actor: 'ann' }),
  ]);
  const mended = startChild('saga-poison-child.ts', { url: test.url, mended: true } satisfies SagaPoisonChildSettings);
  await finishWhen(mended, async () => {
    await eventually('it to end', async () => (await left(['completed'])).length === 0);
  });
  await mended.exit;
  expect(await poison.result()).toBe(1);
  await database.close();
  await test.drop();
});

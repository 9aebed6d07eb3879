/** Starting a run once more by the service API, on a real database. */
import { beforeAll, beforeEach, expect, it } from 'vitest';
import type { DashboardParts } from '../../src/dashboard/server/parts.ts';
import { emptySagas, seedRun, seedWorker } from '../operations/saga-lab.ts';
import { ask, useDashboardLab } from './server-lab.ts';

const lab = useDashboardLab();
let parts: DashboardParts;
beforeAll(() => {
  parts = lab.open();
});
beforeEach(() => emptySagas(lab.database));

const audit = async () =>
  (await lab.database.query('SELECT actor, action, subject, reason FROM holdfast.audit ORDER BY id')).rows;

it('starts a run once more which has ended, once, and says the command', async () => {
  const id = await seedRun(lab.database, { status: 'compensated', reason: 'failed', key: 'o-1' });
  const body = { version: 'newest', input: { order: "it's" }, reason: 'mended' };
  const none = await ask(parts, `/api/runs/${id}/restart`, { body });
  expect(none).toMatchObject({ status: 400, json: { code: 'HF_CONFIG' } });
  await seedWorker(lab.database, 'w-1', { sagas: ['place-order@2'] });
  const { status, json } = await ask(parts, `/api/runs/${id}/restart`, { body });
  expect({ status, json }).toMatchObject({
    status: 200,
    json: {
      restarted: { of: id, version: 2, key: 'o-1', runnable: true },
      command: `holdfast saga restart ${id} --saga-version newest --input '{"order":"it'\\''s"}' --reason mended`,
    },
  });
  const { id: newId } = json['restarted'] as { id: string };
  expect((await ask(parts, `/api/runs/${newId}`)).json).toMatchObject({ restarts: { of: id } });
  expect((await ask(parts, `/api/runs/${id}`)).json).toMatchObject({ restarts: { as: newId, keyGone: 'o-1' } });
  const again = await ask(parts, `/api/runs/${id}/restart`, { body });
  expect(again).toMatchObject({ status: 409, json: { code: 'HF_SAGA_RESTARTED' } });
  const early = await ask(parts, `/api/runs/${newId}/restart`, { body });
  expect(early).toMatchObject({ status: 409, json: { code: 'HF_SAGA_NOT_ENDED' } });
  expect(await audit()).toEqual([{ actor: 'dashboard:otto', action: 'saga.restart', subject: id, reason: 'mended' }]);
});

/**
 * Runs that are suspected of killing their workers, and a schema that keeps its worker waiting, on PostgreSQL. That such runs are found
 * is shown with real processes in faults/saga-poison.test.ts; here, that nobody else is blamed and nothing is forgotten over it.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { PermanentError } from '../../src/errors.ts';
import { message } from '../../src/message/message-type.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { emit } from '../../src/saga/kinds/emit.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { eventually } from '../support/eventually.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** So many more workers died with the run; it is to be claimed at once. */
const die = (runId: string, times: number) =>
  lab.test.pool.query(
    `UPDATE holdfast.saga_run SET lost = lost + $2, wake_at = now(), status = 'running' WHERE id = $1 AND worker IS NULL`,
    [runId, times],
  );
const trial = (lost: number): JournalEvent => ({ t: 'recovered', lost, alone: true });

async function journal(runId: string, rows: readonly (readonly JournalEvent[])[]): Promise<void> {
  for (const [index, events] of rows.entries())
    await lab.test.pool.query('INSERT INTO holdfast.saga_journal VALUES ($1, $2, $3, now())', [
      runId,
      index + 1,
      JSON.stringify(events),
    ]);
}

describe('a suspect', () => {
  const waiting = saga({
    name: 'waiting-suspect',
    input: z.null(),
    signals: { go: z.null() },
    steps: {},
    async run({ waitFor }) {
      await waitFor('go');
      return 'went';
    },
  });

  it('that only waits is cleared by its trial, and not condemned by later deaths', async () => {
    const run = await lab.client([waiting]).start(waiting, null);
    const worker = await lab.worker([waiting]);
    await lab.untilEvent(run.id, 'called');
    for (let round = 1; round <= 4; round += 1) {
      await lab.untilFree(run.id);
      await die(run.id, 3);
      await worker.tick();
      await eventually('the trial to be closed', async () => {
        const last = (await lab.events(run.id)).at(-1);
        return last?.t === 'recovered' && last.lost === 3 * round && last.alone !== true;
      });
    }
    expect((await lab.view(run.id)).status).not.toBe('stuck');
    await run.signal('go', null);
    expect(await run.result({ timeout: '20s' })).toBe('went');
  });

  it('that is condemned and tried again does not forget that a step may have happened', async () => {
    const compensated: string[] = [];
    const inFlight = saga({
      name: 'condemned',
      input: z.null(),
      steps: {
        x: step({
          run: () => {
            throw new PermanentError('no');
          },
          compensate: ({ outcome }) => void compensated.push(outcome),
        }),
      },
      async run({ steps }) {
        await steps.x(null);
      },
    });
    const run = await lab.client([inFlight]).start(inFlight, null);
    await journal(run.id, [
      [{ t: 'called', call: 'x', kind: 'step', step: 'x', input: null }],
      [trial(3)],
      [trial(4)],
      [trial(5)],
    ]);
    await die(run.id, 6);
    await lab.worker([inFlight]);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'kills workers' });
    await lab.untilFree(run.id);
    await lab.postRunMessage(run.id, { kind: 'retry', actor: 'ann' });
    await lab.until(run.id, 'compensated');
    expect(compensated).toEqual(['unknown']);
  });
});

describe('a schema that never answers', () => {
  const silent: StandardSchemaV1<{ n: number }> = {
    '~standard': { version: 1, vendor: 'test', validate: () => new Promise(() => {}) },
  };
  const Never = message('never', { schema: silent, key: () => 'k' });
  const mute = saga({
    name: 'mute',
    input: z.null(),
    steps: { say: emit(Never) },
    async run({ steps }) {
      await steps.say({ n: 1 });
    },
  });

  it('refuses the start whose first message it is for: nothing is written, nobody waits for ever', async () => {
    const worker = await lab.worker([mute]);
    await expect(worker.sagas.start(mute, null)).rejects.toMatchObject({ code: 'HF_STEP_TIMEOUT' });
    expect((await lab.test.pool.query(`SELECT 1 FROM holdfast.saga_run WHERE saga = 'mute'`)).rows).toEqual([]);
    expect(worker.progress.inMemory).toBe(0);
  });

  it('puts off the run that was claimed, and holds up no other', async () => {
    const quick = saga({ name: 'quick', input: z.null(), steps: {}, run: async () => 'done' });
    const client = lab.client([mute, quick]);
    const put = await client.start(mute, null);
    await lab.worker([mute, quick]);
    const held = `SELECT 1 FROM holdfast.saga_run WHERE id = $1 AND worker IS NOT NULL`;
    await eventually('it to be claimed', async () => (await lab.test.pool.query(held, [put.id])).rowCount === 1);
    const run = await client.start(quick, null);
    expect(await run.result({ timeout: '20s' })).toBe('done');
    await lab.untilFree(put.id);
  });
});

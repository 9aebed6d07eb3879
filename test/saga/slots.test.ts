import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { openDatabase } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { openLab, type Lab } from './lab.ts';

describe('many transaction steps at once', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await openLab();
  });
  afterAll(() => lab.dispose());

  it('neither keep the lease from being prolonged nor wait for connections until they fail', async () => {
    const database = openDatabase({ url: lab.test.url, max: 5, connectTimeout: '1s' });
    const slow = saga({
      name: 'slow',
      input: z.null(),
      steps: {
        write: transaction({
          async run(_: void, { tx, attempt }) {
            await tx.query('SELECT pg_sleep(0.1)');
            return attempt;
          },
        }),
      },
      run: ({ steps }) => steps.write(),
    });
    const worker = await lab.worker([slow], { database, lease: '2s' });
    const { id } = worker;
    const runs = await Promise.all(Array.from({ length: 60 }, () => worker.sagas.start(slow, null)));
    const attempts = await Promise.all(runs.map((run) => run.result({ timeout: '60s' })));
    expect(new Set(attempts)).toEqual(new Set([1]));
    expect(worker.id).toBe(id);
    await lab.settle();
    await database.close();
  });
});

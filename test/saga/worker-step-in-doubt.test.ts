/**
 * Runs whose transaction steps lose the answer to their COMMIT, or the COMMIT itself: each step has its effect once, the run goes on by
 * itself, and who takes it up finds a journal that fits.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { openDatabase } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { isCommit, startTcpProxy, type Fate } from '../support/faults/tcp-proxy.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const write = transaction({
  retry: { attempts: 1 },
  run: async (what: string, { tx }) => void (await tx.query('INSERT INTO effect (what) VALUES ($1)', [what])),
});

it.each(['before', 'after', 'late'] as const)('have each effect once when COMMIT is cut (%s)', async (fate: Fate) => {
  const proxy = await startTcpProxy(lab.test.url);
  const database = openDatabase({ url: proxy.url, max: 4 });
  const flow = saga({
    name: `cut-${fate}`,
    input: z.null(),
    signals: { go: z.null() },
    steps: { first: write, second: write },
    async run({ steps, waitFor }) {
      await steps.first(`first ${fate}`);
      await waitFor('go');
      await steps.second(`second ${fate}`);
    },
  });
  const worker = await lab.worker([flow], { database, waiting: 0 });
  const cut = new Promise<void>((resolve) => {
    proxy.judge = (bytes) => {
      if (!isCommit(bytes) || !bytes.includes('record_step')) return 'pass';
      proxy.judge = () => 'pass';
      resolve();
      return fate;
    };
  });
  const run = await lab.client([flow]).start(flow, null);
  await cut;
  // From here on its journal is read again.
  await lab.untilFree(run.id);
  await proxy.deliverLate();
  await run.signal('go', null);
  await lab.until(run.id, 'completed');
  const { rows } = await lab.test.pool.query(`SELECT what FROM effect WHERE what LIKE '% ${fate}' ORDER BY id`);
  expect(rows).toEqual([{ what: `first ${fate}` }, { what: `second ${fate}` }]);
  const journal = await lab.test.pool.query<{ n: number; size: number }>(
    'SELECT n, json_array_length(events) AS size FROM holdfast.saga_journal WHERE saga_id = $1 ORDER BY n',
    [run.id],
  );
  expect(journal.rows.map(({ n }) => n)).toEqual(journal.rows.map((_row, index) => index));
  expect(journal.rows.filter(({ size }) => size === 0)).toHaveLength(fate === 'after' ? 0 : 1);
  await worker.stop();
  await database.close();
  await proxy.close();
});

/** What a transaction step and a participant's handler do to the transaction and the session they are lent. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { PoolClient } from 'pg';
import { openDatabase } from '../../src/postgres/database.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
  await lab.test.pool.query(`CREATE ROLE tenant_${process.pid}; GRANT INSERT ON effect TO tenant_${process.pid};
    GRANT USAGE ON SEQUENCE effect_id_seq TO tenant_${process.pid}`);
});
afterEach(() => lab.settle());
afterAll(async () => {
  await lab.test.pool.query(`DROP OWNED BY tenant_${process.pid}; DROP ROLE tenant_${process.pid}`);
  await lab.dispose();
});

const effects = async (): Promise<readonly string[]> =>
  (await lab.test.pool.query<{ what: string }>('SELECT what FROM effect ORDER BY id')).rows.map(({ what }) => what);
const add = (tx: PoolClient, what: string): Promise<unknown> =>
  tx.query('INSERT INTO effect (what) VALUES ($1)', [what]);

function oneStep(name: string, act: (tx: PoolClient) => Promise<unknown>, attempts = 1) {
  return saga({
    name,
    input: z.null(),
    steps: {
      only: transaction({
        retry: { attempts },
        run: async (_input: null, { tx }) => void (await act(tx)),
      }),
    },
    run: ({ steps }) => steps.only(null),
  });
}

describe('a transaction of an ORM inside a step', () => {
  it('commits with the step, once, and not by itself', async () => {
    let tries = 0;
    const flow = oneStep(
      'inner',
      async (tx) => {
        tries += 1;
        await tx.query('BEGIN');
        await add(tx, `inner ${tries}`);
        await tx.query('COMMIT');
        if (tries < 3) throw new Error('not yet');
        await add(tx, 'outer');
      },
      3,
    );
    await lab.worker([flow]);
    const run = await lab.client([flow]).start(flow, null);
    await lab.until(run.id, 'completed');
    expect(await effects()).toEqual(['inner 3', 'outer']);
  });

  it('cannot end that of the step', async () => {
    const flow = oneStep('ending', async (tx) => {
      await add(tx, 'before');
      await tx.query('commit').catch(() => {});
    });
    await lab.worker([flow]);
    const run = await lab.client([flow]).start(flow, null);
    const { error } = await lab.until(run.id, 'compensated');
    expect(JSON.stringify(error)).toMatch(/Return to commit/);
    expect(await effects()).toEqual([]);
  });
});

describe('the session of a step', () => {
  it.each(['SET LOCAL ROLE', "SELECT set_config('role', '"])(
    'may have another role (%s), and the record of the step has its own',
    async (how) => {
      const role = `tenant_${process.pid}`;
      const flow = oneStep('roles', async (tx) => {
        await tx.query(how.startsWith('SET') ? `${how} ${role}` : `${how}${role}', true)`);
        await add(tx, String((await tx.query('SELECT current_user AS u')).rows[0]?.u));
      });
      await lab.worker([flow]);
      const run = await lab.client([flow]).start(flow, null);
      await lab.until(run.id, 'completed');
      expect(await effects()).toEqual([role]);
    },
  );

  it('cannot be made READ ONLY: refused with what to do', async () => {
    const flow = oneStep('reading', (tx) => tx.query('SET TRANSACTION READ ONLY'));
    await lab.worker([flow]);
    const run = await lab.client([flow]).start(flow, null);
    const { error } = await lab.until(run.id, 'compensated');
    expect(JSON.stringify(error)).toMatch(/READ ONLY/);
  });

  it('is not that of the next step: what lasts longer than a transaction ends with the connection', async () => {
    const database = openDatabase({ url: lab.test.url, max: 4 });
    const seen: string[] = [];
    const flow = saga({
      name: 'paths',
      input: z.null(),
      steps: {
        change: transaction({
          run: async (_input: null, { tx }) => void (await tx.query('SET search_path = pg_temp')),
        }),
        look: transaction({
          run: async (_input: null, { tx }) => {
            const { rows } = await tx.query("SELECT current_setting('search_path') AS path");
            seen.push(String(rows[0]?.path));
          },
        }),
      },
      async run({ steps }) {
        await steps.change(null);
        await steps.look(null);
      },
    });
    await lab.worker([flow], { database });
    const run = await lab.client([flow]).start(flow, null);
    await lab.until(run.id, 'completed');
    expect(seen).toEqual(['"$user", public']);
    await lab.settle();
    await database.close();
  });
});

/** Runs that the database says a living worker holds, and that it does not have, or cannot give back: none stays so. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { openDatabase } from '../../src/postgres/database.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const plain = saga({
  name: 'plain',
  input: z.string(),
  steps: { first: step({ run: (what: string) => what }) },
  run: ({ steps, input }) => steps.first(input),
});

/** Told of every warning. */
function listeningLog(onWarn: (text: string) => void): Logger {
  const log: Logger = { ...silentLogger, warn: (_fields, text) => onWarn(text ?? ''), child: () => log };
  return log;
}

describe('a run that the database says a worker holds', () => {
  it('and that is in nobody’s memory is let go and goes on', async () => {
    let aheadMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + aheadMs };
    const worker = await lab.worker([plain], { clock });
    const client = lab.client([plain]);
    const hold = await lab.test.pool.connect();
    await hold.query('BEGIN');
    const run = await client.start(hold, plain, 'x');
    await hold.query('UPDATE holdfast.saga_run SET worker = $1, wake_at = NULL WHERE id = $2', [worker.id, run.id]);
    await hold.query('COMMIT');
    hold.release();
    for (let look = 0; look < 2; look += 1) {
      aheadMs += 60_000;
      await worker.tick();
    }
    expect(await run.result({ timeout: '20s' })).toBe('x');
  });
});

describe('a commit that the server cancels', () => {
  it.each([
    ['a statement timeout', 'statement_timeout=250'],
    ['a lock timeout', 'lock_timeout=250'],
  ])('for %s of the role is made again until it is known, and the run goes on', async (_what, setting) => {
    const impatient = openDatabase({ url: `${lab.test.url}?options=${encodeURIComponent(`-c ${setting}`)}` });
    const seen = gate();
    let refusals = 0;
    const log = listeningLog((text) => {
      if (text.startsWith('a commit of runs') && ++refusals === 2) seen.open();
    });
    const began = gate();
    const goOn = gate();
    const slow = saga({
      name: 'slow',
      input: z.null(),
      steps: {
        first: step({
          run() {
            began.open();
            return goOn.promise;
          },
        }),
        second: step({ run: () => 'end' }),
      },
      async run({ steps }) {
        await steps.first();
        return steps.second();
      },
    });
    const worker = await lab.worker([slow], { database: impatient, log });
    const run = await worker.sagas.start(slow, null);
    await began.promise;
    const letGo = await lab.holdCommits();
    goOn.open();
    await seen.promise;
    await letGo();
    expect(await run.result({ timeout: '20s' })).toBe('end');
    await worker.stop();
    await impatient.close();
  });
});

describe('a run that is given back', () => {
  it('is free also when the reason cannot be stored, and when the server cancels that at first', async () => {
    // What stops the run holds a word that the database refuses, and so does the reason for giving it back.
    await lab.test.pool.query(`
      CREATE SEQUENCE public.refusal;
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.worker IS NULL AND NEW.error::text LIKE '%refused word%' THEN
          IF nextval('public.refusal') = 1 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '57014'; END IF;
          RAISE EXCEPTION 'refused word' USING ERRCODE = '22P05';
        END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER refuse BEFORE UPDATE ON holdfast.saga_run FOR EACH ROW EXECUTE FUNCTION refuse();
      CREATE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.events::text LIKE '%poisoned%' THEN RAISE EXCEPTION 'refused word' USING ERRCODE = '22P05'; END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER refuse_row BEFORE INSERT ON holdfast.saga_journal FOR EACH ROW EXECUTE FUNCTION refuse_row()`);
    const poisoned = saga({
      name: 'poisoned',
      input: z.null(),
      steps: { first: step({ run: () => 'poisoned' }) },
      run: ({ steps }) => steps.first(),
    });
    const worker = await lab.worker([poisoned]);
    const bad = await worker.sagas.start(poisoned, null);
    await lab.untilFree(bad.id);
    await lab.test.pool.query(`
      DROP TRIGGER refuse ON holdfast.saga_run;
      DROP TRIGGER refuse_row ON holdfast.saga_journal;
      UPDATE holdfast.saga_run SET wake_at = now() WHERE wake_at IS NOT NULL`);
    expect(await bad.result({ timeout: '20s' })).toBe('poisoned');
  });
});

/** What was accepted takes effect, or it is said that it came too late; what the database refuses stops a run once. On PostgreSQL. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { child } from '../../src/saga/kinds/child.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { transaction } from '../../src/saga/kinds/transaction.ts';
import { eventually } from '../support/eventually.ts';
import { gate, openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

/** A saga whose last step ends when it is told to, and is compensated by saying so. */
function ending(pivot = false) {
  const began = gate();
  const over = gate();
  const compensated: string[] = [];
  const done: string[] = [];
  const last = saga({
    name: 'last',
    input: z.null(),
    signals: { go: z.null() },
    steps: {
      work: step({
        async run() {
          began.open();
          await over.promise;
        },
        compensate: () => void compensated.push('work'),
      }),
      seal: step({ run: () => void done.push('sealed'), pivot }),
    },
    async run({ steps }) {
      await steps.work();
      if (pivot) await steps.seal();
      return 'done';
    },
  });
  return { last, began, over, compensated, done };
}

/** Resolves once a statement waits for a lock that the test holds. */
const waits = (statement: string): Promise<unknown> =>
  eventually(`${statement} to wait`, async () => {
    const { rows } = await lab.test.pool.query(
      `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`,
      [`%.${statement}(%`],
    );
    return rows.length > 0;
  });

/** The cancellation of a run of `last` becomes visible while the commit that `act` leads to is under way, and never before. */
async function cancelWhileItCommits(id: string, act: () => void): Promise<void> {
  const client = await lab.test.pool.connect();
  try {
    await client.query('BEGIN');
    await client.query(
      `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body) VALUES ($1, 'last', 1, 'cancel', '{"kind":"cancel"}')`,
      [id],
    );
    await client.query('LOCK TABLE holdfast.saga_journal IN SHARE MODE');
    act();
    await waits('commit_runs');
  } finally {
    await client.query('COMMIT');
    client.release();
  }
}

describe('a cancellation that was accepted', () => {
  it('is not lost when the run is about to end and has not seen it', async () => {
    const { last, began, over, compensated } = ending();
    const worker = await lab.worker([last], { idlePoll: '1h' });
    const run = await worker.sagas.start(last, null);
    await began.promise;
    await cancelWhileItCommits(run.id, () => over.open());
    await lab.until(run.id, 'compensated');
    expect(compensated).toEqual(['work']);
  });

  it('is not too late when it has been seen while the end waits behind a commit that is under way', async () => {
    const began = { one: gate(), two: gate() };
    const over = { one: gate(), two: gate() };
    const compensated: string[] = [];
    const half = (name: 'one' | 'two') =>
      step({
        async run() {
          began[name].open();
          await over[name].promise;
        },
        compensate: () => void compensated.push(name),
      });
    const pair = saga({
      name: 'pair',
      input: z.null(),
      steps: { one: half('one'), two: half('two') },
      run: async ({ steps }) => void (await Promise.all([steps.one(), steps.two()])),
    });
    const worker = await lab.worker([pair], { idlePoll: '1h' });
    const run = await worker.sagas.start(pair, null);
    await Promise.all([began.one.promise, began.two.promise]);
    const free = await lab.holdCommits();
    over.one.open();
    await waits('commit_runs');
    over.two.open();
    await lab.postRunMessage(run.id, { kind: 'cancel' });
    for (let look = 0; look < 3; look += 1) await worker.tick();
    await free();
    await lab.until(run.id, 'compensated');
    expect(compensated).toEqual(['two', 'one']);
  });

  it('is not lost when the run is about to begin its pivot', async () => {
    const { last, began, over, compensated, done } = ending(true);
    const worker = await lab.worker([last], { idlePoll: '1h' });
    const run = await worker.sagas.start(last, null);
    await began.promise;
    await cancelWhileItCommits(run.id, () => over.open());
    await lab.until(run.id, 'compensated');
    expect([compensated, done]).toEqual([['work'], []]);
  });

  it('is not lost when a child is about to have done its work', async () => {
    const { last, began, over, compensated } = ending();
    const whole = saga({
      name: 'whole',
      input: z.null(),
      steps: { part: child(last) },
      run: ({ steps }) => steps.part(null),
    });
    const worker = await lab.worker([whole, last], { idlePoll: '1h' });
    const run = await worker.sagas.start(whole, null);
    await began.promise;
    const { child: id = '' } = await lab.untilEvent(run.id, 'called', 'part');
    await cancelWhileItCommits(id, () => over.open());
    await lab.until(id, 'compensated');
    expect(compensated).toEqual(['work']);
    await lab.until(run.id, 'compensated');
  });

  it('does not keep the run for ever from its pivot when it lies behind the reply that leads there', async () => {
    const Ask = message('asked', { version: 1, schema: z.null() });
    const done: string[] = [];
    const asking = saga({
      name: 'asking',
      input: z.null(),
      steps: { ask: command(Ask, { timeout: '1h' }), seal: step({ run: () => void done.push('sealed'), pivot: true }) },
      async run({ steps }) {
        await steps.ask(null);
        await steps.seal();
      },
    });
    const worker = await lab.worker([asking]);
    const run = await worker.sagas.start(asking, null);
    await lab.untilEvent(run.id, 'called', 'ask');
    await worker.stop();
    // As while a new version is rolled out: both lie there, in this order, for whoever comes.
    await lab.postRunMessage(run.id, { kind: 'reply', call: 'ask', to: 'command', outcome: 'done' });
    await lab.postRunMessage(run.id, { kind: 'cancel' });
    await lab.worker([asking]);
    await lab.until(run.id, 'compensated');
    expect(done).toEqual([]);
    expect(await lab.story(run.id)).toContain('done ask');
  });

  it('does not keep a child for ever from its end when it lies behind the word of its parent', async () => {
    const small = saga({ name: 'small', input: z.null(), steps: {}, run: () => Promise.resolve('done') });
    const large = saga({
      name: 'large',
      input: z.null(),
      signals: { go: z.null() },
      steps: { part: child(small) },
      async run({ steps, waitFor }) {
        await steps.part(null);
        await waitFor('go');
      },
    });
    const both = await lab.worker([large, small]);
    const run = await both.sagas.start(large, null);
    const { child: id = '' } = await lab.untilEvent(run.id, 'called', 'part');
    await lab.untilEvent(run.id, 'done', 'part');
    await both.stop();
    // Nobody has the child when its parent lets it go.
    await lab.postRunMessage(id, { kind: 'release' });
    await lab.postRunMessage(id, { kind: 'cancel' });
    await lab.worker([large, small]);
    expect(await lab.until(id, 'completed')).toMatchObject({ refused: [{ what: 'cancel' }] });
  });

  it('that waits for one pivot does not keep the run from another one', async () => {
    const paid = gate();
    const done: string[] = [];
    const twofold = saga({
      name: 'twofold',
      input: z.null(),
      signals: { go: z.null() },
      steps: {
        pay: step({ pivot: true, run: () => paid.promise }),
        seal: step({ pivot: true, run: () => void done.push('sealed') }),
      },
      async run({ steps, waitFor }) {
        await Promise.all([steps.pay(), waitFor('go').then(() => steps.seal())]);
      },
    });
    const worker = await lab.worker([twofold]);
    const run = await worker.sagas.start(twofold, null);
    await lab.untilEvent(run.id, 'called', 'pay');
    expect(await run.cancel()).toBe('undecided');
    await run.signal('go', null);
    await lab.untilEvent(run.id, 'done', 'seal');
    paid.open();
    await run.result();
    expect(await lab.view(run.id)).toMatchObject({ status: 'completed', refused: [{ what: 'cancel' }] });
  });

  it('waits for the end that is being written, and is told of it', async () => {
    const { last, began, over } = ending();
    const worker = await lab.worker([last], { idlePoll: '1h' });
    const run = await worker.sagas.start(last, null);
    await began.promise;
    // Holds the commit up between the change of the run's row and its end.
    const client = await lab.test.pool.connect();
    let cancelled: Promise<string> | undefined;
    try {
      await client.query('BEGIN; LOCK TABLE holdfast.saga_mail IN ACCESS EXCLUSIVE MODE');
      over.open();
      await waits('commit_runs');
      cancelled = run.cancel().then(
        () => 'accepted',
        (error: unknown) => (error as { code: string }).code,
      );
      await waits('post_saga_mail');
    } finally {
      await client.query('COMMIT');
      client.release();
    }
    expect(await cancelled).toBe('HF_SAGA_FINISHED');
    expect(await lab.view(run.id)).toMatchObject({ status: 'completed' });
  });
});

it('what comes after the end stands in the journal', async () => {
  const { last, over } = ending();
  const worker = await lab.worker([last]);
  over.open();
  const run = await worker.sagas.start(last, null);
  await run.result();
  for (const [kind, name] of [['signal', 'go'] as const, ['cancel', null] as const])
    await lab.test.pool.query(
      `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body) VALUES ($1, 'last', 1, $2, $3)`,
      [run.id, kind, JSON.stringify({ kind, ...(name === null ? {} : { name }) })],
    );
  const refused = await eventually('both to be refused', async () => {
    const events = (await lab.events(run.id)).filter(({ t }) => t === 'refused');
    return events.length === 2 && events;
  });
  expect(refused).toMatchObject([{ what: 'signal', name: 'go' }, { what: 'cancel' }]);
});

describe('what the database refuses for its data', () => {
  it('makes the run stuck with the reason, and its effect is not repeated by itself', async () => {
    let charged = 0;
    const paying = saga({
      name: 'paying',
      input: z.null(),
      steps: {
        charge: step({
          run: () => {
            charged += 1;
            return 'thanks';
          },
          compensate: () => {},
        }),
      },
      run: ({ steps }) => steps.charge(),
    });
    // A database that cannot keep some value, as one in LATIN1 cannot keep an emoji.
    await lab.test.pool.query(
      `ALTER TABLE holdfast.saga_journal ADD CONSTRAINT plain CHECK (events::text NOT LIKE '%thanks%')`,
    );
    const worker = await lab.worker([paying]);
    const run = await worker.sagas.start(paying, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'unrecordable' });
    expect(charged).toBe(1);
    // Whether it happened is not known to the journal, so it is in doubt.
    expect(await lab.story(run.id)).toEqual(['called charge', 'attempt failed charge', 'stuck']);
    await lab.test.pool.query('ALTER TABLE holdfast.saga_journal DROP CONSTRAINT plain');
    await lab.postRunMessage(run.id, { kind: 'retry', actor: 'ann' });
    expect(await lab.until(run.id, 'completed')).toMatchObject({ result: 'thanks' });
    expect(charged).toBe(2);
  });

  it('makes it stuck at a transaction as well, which is rolled back', async () => {
    const booking = saga({
      name: 'booking',
      input: z.null(),
      steps: {
        book: transaction({
          async run(_: void, { tx }) {
            await tx.query(`INSERT INTO effect (what) VALUES ('booked')`);
            return 'thanks';
          },
        }),
      },
      run: ({ steps }) => steps.book(),
    });
    await lab.test.pool.query(
      `ALTER TABLE holdfast.saga_journal ADD CONSTRAINT plain CHECK (events::text NOT LIKE '%thanks%')`,
    );
    const worker = await lab.worker([booking]);
    const run = await worker.sagas.start(booking, null);
    expect(await lab.stuck(run.id)).toMatchObject({ why: 'unrecordable', call: 'book' });
    await lab.test.pool.query('ALTER TABLE holdfast.saga_journal DROP CONSTRAINT plain');
    expect((await lab.test.pool.query('SELECT what FROM effect')).rows).toEqual([]);
  });

  it('is refused before anything begins where it can be known: waits beyond all calendars', async () => {
    let charged = 0;
    const forever = saga({
      name: 'forever',
      input: z.null(),
      signals: { go: z.null() },
      steps: { charge: step({ run: () => void (charged += 1), compensate: () => {} }) },
      async run({ steps, sleep, waitFor }) {
        await steps.charge();
        await waitFor('go', { timeout: 1e16 }).catch(() => {});
        await sleep(1e16);
      },
    });
    const worker = await lab.worker([forever]);
    const run = await worker.sagas.start(forever, null);
    await eventually('it to be compensated or stuck', async () => {
      const { status } = await lab.view(run.id);
      return status === 'compensated' || status === 'stuck';
    });
    expect((await lab.view(run.id)).error).toMatchObject({ code: 'HF_DURATION' });
    expect(charged).toBe(1);
  });
});

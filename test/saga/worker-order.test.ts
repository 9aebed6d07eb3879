/** What came first by the database's clock is told first, whatever the worker was doing when it came. On PostgreSQL. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { message } from '../../src/message/message-type.ts';
import { saga } from '../../src/saga/definition/definition.ts';
import { openLab, type Lab } from './lab.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
afterEach(() => lab.settle());
afterAll(() => lab.dispose());

const race = saga({
  name: 'race',
  input: z.object({ ms: z.number() }),
  signals: { go: z.string() },
  steps: { noop: step({ run: () => null }) },
  async run({ input, sleep, waitFor }) {
    return Promise.race([sleep(input.ms).then(() => 'time'), waitFor('go')]);
  },
});

/** Gives a run that waits in nobody's memory a timer that has been due for some seconds; resolves since when. */
async function overdue(runId: string, call: string): Promise<number> {
  const { until } = await lab.untilEvent(runId, 'called', call);
  const { rows } = await lab.test.pool.query<{ at: number }>(
    `UPDATE holdfast.saga_journal SET events = replace(events::text, $2, u.at::text)::json
     FROM (SELECT floor(extract(epoch FROM now()) * 1000)::bigint - 5000 AS at) AS u WHERE saga_id = $1 RETURNING u.at::float8`,
    [runId, String(until)],
  );
  await lab.test.pool.query('UPDATE holdfast.saga_run SET wake_at = now() WHERE id = $1', [runId]);
  return rows[0]?.at ?? 0;
}

async function waiting() {
  const worker = await lab.worker([race]);
  const run = await worker.sagas.start(race, { ms: 3_600_000 });
  await lab.untilEvent(run.id, 'called', 'wait:go#1');
  await worker.stop();
  return { run, until: await overdue(run.id, 'sleep#1') };
}

/** Run messages that came at that time. */
async function cameAt(runId: string, at: number): Promise<void> {
  await lab.test.pool.query('UPDATE holdfast.saga_mail SET at = to_timestamp($2::float8 / 1000) WHERE saga_id = $1', [
    runId,
    at,
  ]);
}

describe('signals that are there', () => {
  it('are all taken by waits that do not wait', async () => {
    const drain = saga({
      name: 'drain',
      input: z.null(),
      signals: { item: z.number(), go: z.null() },
      steps: { noop: step({ run: () => null }) },
      async run({ steps, waitFor }) {
        await waitFor('go');
        const items: number[] = [];
        for (;;) {
          const item = await waitFor('item', { timeout: 0 });
          if (item === null) return items;
          items.push(item);
          if (item === 3) await steps.noop();
        }
      },
    });
    const worker = await lab.worker([drain]);
    const run = await worker.sagas.start(drain, null);
    for (const n of [1, 2, 3, 4, 5]) await run.signal('item', n);
    await run.signal('go', null);
    expect(await run.result({ timeout: '30s' })).toEqual([1, 2, 3, 4, 5]);
  });

  it('are taken by a wait whose time was up before anybody looked', async () => {
    const { run, until } = await waiting();
    await run.signal('go', 'signal');
    await cameAt(run.id, until);
    await lab.worker([race]);
    expect(await run.result({ timeout: '30s' })).toBe('signal');
  });
});

describe('a timer', () => {
  it('is told before a signal that came after it was due', async () => {
    const { run, until } = await waiting();
    await run.signal('go', 'signal');
    await cameAt(run.id, until + 1);
    await lab.worker([race]);
    expect(await run.result({ timeout: '30s' })).toBe('time');
  });

  it('is told after a signal that came while the worker had the run and did not look', async () => {
    const worker = await lab.worker([race], { idlePoll: '1h' });
    const run = await worker.sagas.start(race, { ms: 300 });
    const called = await lab.untilEvent(run.id, 'called', 'sleep#1');
    // Nobody is woken: the look that the timer leads to finds it.
    await lab.test.pool.query(
      `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body, at)
       VALUES ($1, 'race', 1, 'signal', '{"kind":"signal","name":"go","payload":"signal"}', to_timestamp($2::float8 / 1000))`,
      [run.id, (called.until ?? 0) - 100],
    );
    expect(await run.result({ timeout: '30s' })).toBe('signal');
  });

  it('that was due first is told first', async () => {
    const timers = saga({
      name: 'timers',
      input: z.null(),
      steps: { noop: step({ run: () => null }) },
      run: ({ sleep }) => Promise.race([sleep(200).then(() => 'later'), sleep(100).then(() => 'sooner')]),
    });
    const first = await lab.worker([timers]);
    const run = await first.sagas.start(timers, null);
    await lab.untilEvent(run.id, 'called', 'sleep#2');
    await first.stop();
    const { until } = await lab.untilEvent(run.id, 'called', 'sleep#1');
    await expect.poll(() => Date.now(), { timeout: 10_000 }).toBeGreaterThan((until ?? 0) + 100);
    await lab.worker([timers]);
    expect(await run.result({ timeout: '30s' })).toBe('sooner');
  });
});

it('a reply that came in time counts, however late it is found', async () => {
  const order = message('order.pay', { schema: z.object({ n: z.number() }) });
  const paying = saga({
    name: 'paying',
    input: z.null(),
    steps: { pay: command(order, { timeout: '1h', retry: { attempts: 1 } }) },
    run: ({ steps }) => steps.pay({ n: 1 }).then(() => 'paid'),
  });
  const first = await lab.worker([paying]);
  const run = await first.sagas.start(paying, null);
  await lab.untilEvent(run.id, 'called', 'pay');
  await first.stop();
  const until = await overdue(run.id, 'pay');
  await lab.postRunMessage(run.id, { kind: 'reply', call: 'pay', to: 'command', outcome: 'done' });
  await cameAt(run.id, until);
  await lab.worker([paying]);
  expect(await run.result({ timeout: '30s' })).toBe('paid');
});

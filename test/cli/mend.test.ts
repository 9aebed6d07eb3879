/** `holdfast parked groups | retry | discard | edit` on many and `holdfast job`, as people type them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { diffJson } from '../../src/runtime/json-diff.ts';
import { sparkline } from '../../src/cli/verbs/parked-groups.ts';
import { startJob } from '../../src/operations/jobs/jobs.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { holdfast } from './process.ts';

let test: TestDatabase;
let database: Database;
let env: Record<string, string>;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
  env = { DATABASE_URL: test.url, HOLDFAST_ACTOR: 'tester' };
});
beforeEach(async () => {
  await database.query(
    'TRUNCATE holdfast.parked_delivery, holdfast.parked_message, holdfast.operation_job, holdfast.inbox',
  );
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

const json = async (...args: string[]) => {
  const { stdout, code } = await holdfast([...args, '--json'], { env });
  return { code, data: JSON.parse(stdout) as Record<string, unknown> };
};
const text = async (...args: string[]) => holdfast(args, { env });

async function park(count: number, error: string): Promise<void> {
  await database.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, key, envelope, state, reason, error, attempts)
     SELECT 'billing', gen_random_uuid(), 'order.placed', NULL,
       jsonb_build_object('specversion', '1.0', 'holdfast', 1, 'source', 'shop', 'id', gen_random_uuid(), 'type', 'order.placed',
         'time', '2026-01-31T08:00:00Z', 'data', jsonb_build_object('total', n, 'currency', 'USD')),
       'failed', 'gave up after retries', $2 || n, 5
     FROM generate_series(1, $1::int) AS n`,
    [count, error],
  );
}

describe('holdfast parked groups', () => {
  it('shows what failed by kind of error, and how to go on', async () => {
    await park(12, 'Error: no order ');
    await park(3, 'Error: no money for ');
    const { code, stdout } = await text('parked', 'groups');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^COUNT\s+DEAD\s+LAST\s+RECENT\s+GROUP\s+ERROR/);
    expect(stdout).toMatch(/12\s+12\s.*consumer:billing:order\.placed:[0-9a-f]{12}\s+Error: no order <n>/);
    expect(stdout).toMatch(/15 messages in 2 groups/);
    const { data } = await json('parked', 'groups', '--limit', '1');
    expect(data).toMatchObject({ messages: 15, total: 2, groups: [{ messages: 12 }] });
  });
});

describe('an act on many', () => {
  it('shows what it would meet, and does it as a job when --yes is said', async () => {
    await park(5, 'Error: no order ');
    await park(2, 'Error: no money for ');
    const { data } = await json('parked', 'groups');
    const [{ id } = { id: '' }] = data['groups'] as { id: string }[];
    const shown = await text('parked', 'retry', '--group', id);
    expect(shown.code).toBe(0);
    expect(shown.stdout).toMatch(/Would try again 5 messages:[\s\S]*Nothing was done: add --yes --expect 5/);
    const missing = await text('parked', 'retry', '--group', id, '--yes');
    expect(missing).toMatchObject({ code: 2 });
    expect(missing.stderr).toMatch(/needs a reason/);
    const grown = await text('parked', 'discard', '--topic', 'order.*', '--yes', '--expect', '0', '--reason', 'x');
    // Seven are not far more than none.
    expect(grown.code).toBe(0);
    expect(grown.stdout).toMatch(/Done: 7 of 7 done\.[\s\S]*In the audit: holdfast audit --job /);
    const none = await text('parked', 'retry', '--group', id);
    expect(none.stdout).toMatch(/No message fits; nothing was done/);
  });

  it('is not begun by half of a command', async () => {
    await park(1, 'Error: no order ');
    for (const args of [
      ['parked', 'discard', '--reason', 'x'],
      ['parked', 'discard', '--yes', '--reason', 'x'],
      ['parked', 'retry', '--yes', '--reason', 'x'],
      ['parked', 'retry', '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f', '--dry-run'],
      ['parked', 'retry', '--group', 'billing', '--yes', '--reason', 'x'],
      ['parked', 'retry', '--all', '--rate', 'fast', '--yes', '--reason', 'x'],
      ['saga', 'cancel', 'o-1', '--dry-run'],
    ]) {
      const { code, stderr } = await text(...args);
      expect({ args, code }).toEqual({ args, code: 2 });
      expect(stderr).toMatch(/^error HF_CONFIG/);
    }
    expect((await database.query('SELECT 1 FROM holdfast.operation_job')).rowCount).toBe(0);
  });
});

describe('holdfast job', () => {
  it('lists, shows, ends and goes on with jobs', async () => {
    await park(3, 'Error: no order ');
    const act = { kind: 'parked.retry', select: { consumer: 'billing' } } as const;
    const by = { actor: 'anna', reason: 'the bug is mended' };
    const [one, other] = [await startJob(database, act, by), await startJob(database, act, by)];
    expect((await text('job', 'ls')).stdout).toMatch(/open\s+\S+\s+parked\.retry\s+0 of 3 done/);
    expect((await text('job', 'show', one.id)).stdout).toMatch(
      new RegExp(`nobody works on it: holdfast job resume ${one.id}`),
    );
    const aborted = await text('job', 'abort', other.id, '--reason', 'once is enough');
    expect(aborted.stdout).toMatch(/^Aborted: 0 of 3 done\. What is done stays done\./);
    const { data } = await json('job', 'resume', one.id, '--reason', 'its process died');
    expect(data).toMatchObject({ job: { state: 'done', done: 3 } });
    expect(await json('job', 'ls', '--state', 'aborted')).toMatchObject({
      data: { jobs: [{ id: other.id }], more: false },
    });
    // Not what the other one did.
    expect(await json('audit', '--job', one.id)).toMatchObject({
      code: 0,
      data: {
        acts: [
          { action: 'parked.retry', subject: 'billing/*', actor: 'anna', details: { job: one.id, messages: 3 } },
          { action: 'job.resume', subject: one.id, actor: 'tester', reason: 'its process died', details: { done: 0 } },
          { action: 'job.start', subject: one.id },
        ],
        more: false,
      },
    });
    const { stdout } = await text('audit', '--job', other.id, '--limit', '1');
    expect(stdout).toMatch(/tester\s+job\.abort\s+\S+\s+once is enough[\s\S]*--before \d+$/m);
    expect(stdout).not.toMatch(/job\.start/);
    expect(await text('audit', '--job', 'x')).toMatchObject({ code: 2 });
    expect(await text('job', 'show', 'x')).toMatchObject({ code: 2 });
    expect(await text('job', 'ls', '--state', 'running')).toMatchObject({ code: 2 });
  });
});

describe('holdfast parked edit', () => {
  it('shows the difference, and makes it when --yes is said', async () => {
    await park(1, 'Error: no order ');
    const { rows } = await database.query<{ id: string }>('SELECT message_id AS id FROM holdfast.parked_delivery');
    const id = rows[0]?.id ?? '';
    const shown = await text('parked', 'edit', id, '--patch', '{"currency": "EUR"}');
    expect(shown.stdout).toMatch(/- {3}"currency": "USD"\n\+ {3}"currency": "EUR"/);
    expect(shown.stdout).toMatch(/Nothing was done/);
    const { code, data } = await json(
      'parked',
      'edit',
      id,
      '--patch',
      '{"currency": "EUR"}',
      '--yes',
      '--reason',
      'typo',
    );
    expect({ code, data }).toMatchObject({
      code: 0,
      data: { revised: { replaces: id, kind: 'consumer', where: 'billing' } },
    });
    const { rows: after } = await database.query('SELECT envelope -> $1 AS data FROM holdfast.parked_delivery', [
      'data',
    ]);
    expect(after).toEqual([{ data: { total: 1, currency: 'EUR' } }]);
    expect((await text('parked', 'edit', id)).code).toBe(2);
  });
});

describe('holdfast parked edit, of what a relay has parked', () => {
  it('says that the log stays, and shows what goes out', async () => {
    const { rows } = await database.query<{ id: string }>(
      `SELECT holdfast.send('order.placed', '{"total": 1, "currency": "USD"}')::text AS id`,
    );
    const id = rows[0]?.id ?? '';
    await database.query(
      `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, lane, state, reason)
       SELECT 'main', seq, id, topic, lane, 'failed', 'refused' FROM holdfast.outbox WHERE id = $1`,
      [id],
    );
    const change = ['--subscription', 'main', '--patch', '{"currency": "EUR"}'];
    expect((await text('parked', 'edit', id, ...change)).stdout).toMatch(
      new RegExp(`^order.placed ${id}, parked by relay main:\n[^]*- {3}"currency": "USD"\n\\+ {3}"currency": "EUR"`),
    );
    const done = await text('parked', 'edit', id, ...change, '--yes', '--reason', 'typo');
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /goes out with the new payload, in its place[^]*The log keeps it as it was/,
      ) as string,
    });
    const shown = (await text('parked', 'show', id)).stdout;
    expect(shown).toMatch(/edited +this payload goes out; the log keeps the other/);
    expect(shown).toMatch(/"currency": "EUR"/);
    // A relay of the version before says nothing of what it publishes.
    await database.query(
      `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier, lease_owner, lease_epoch)
       VALUES ('main', pg_current_snapshot(), 1000, 1, 'old', 7)`,
    );
    expect(await text('parked', 'edit', id, ...change)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/HF_PARKED_BUSY/) as string,
    });
  });
});

describe('what is drawn', () => {
  it('is a line of counts', () => {
    expect(sparkline([0, 1, 4, 8])).toBe(' ▁▄█');
    expect(sparkline([0, 0])).toBe('  ');
  });

  it('is what is different, line by line', () => {
    const signs = (before: unknown, after: unknown) =>
      diffJson(before, after).map(({ sign, text: line }) => sign + line.trim());
    expect(signs({ a: 1, b: 2 }, { a: 1, b: 3 })).toEqual([' {', ' "a": 1,', '-"b": 2', '+"b": 3', ' }']);
    expect(signs(1, 1)).toEqual([' 1']);
    expect(signs([1, 2, 3], [2, 3, 4])).toEqual([' [', '-1,', ' 2,', '-3', '+3,', '+4', ' ]']);
  });
});

/** The verbs as child processes on a real database: what they print, what they leave behind, how they end. */
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createTestDatabase, sharedRedisUrl, type TestDatabase } from '../support/servers.ts';
import { holdfast } from './process.ts';

const VERSIONS = readdirSync(new URL('../../migrations/', import.meta.url))
  .filter((name) => name.endsWith('.sql'))
  .map((_, index) => index + 1);

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
    'TRUNCATE holdfast.outbox, holdfast.subscription, holdfast.parked_message, holdfast.replay, holdfast.audit RESTART IDENTITY',
  );
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

const send = async (topic: string, key: string | null = null) =>
  (await database.query<{ id: string }>(`SELECT holdfast.send($1, '{"n": 1}', key => $2) AS id`, [topic, key])).rows[0]!
    .id;
const json = async (...args: string[]) => {
  const { stdout, code } = await holdfast([...args, '--json'], { env });
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  return { code, data: JSON.parse(stdout) as Record<string, unknown> };
};
const text = async (...args: string[]) => {
  const { stdout, stderr, code } = await holdfast(args, { env });
  return { code, stdout, stderr };
};
/** A subscription that has read everything and parked what it is given. */
async function park(id: string, state: 'failed' | 'behind') {
  await database.query(
    `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier)
     SELECT 'main', pg_current_snapshot(), (SELECT max(seq) FROM holdfast.outbox), 1 ON CONFLICT DO NOTHING`,
  );
  await database.query(
    `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, key, lane, state, reason, error, attempts)
     SELECT 'main', seq, id, topic, key, lane, $2, 'refused', CASE WHEN $2 = 'failed' THEN 'Error: too large' END, 8
     FROM holdfast.outbox WHERE id = $1`,
    [id, state],
  );
}
const audit = async () =>
  (await database.query('SELECT actor, action, subject, reason FROM holdfast.audit ORDER BY id')).rows;

describe('holdfast', () => {
  it('tells its version, and helps', async () => {
    const [version, help, typo, option] = await Promise.all([
      text('--version'),
      text('--help'),
      text('statsu'),
      text('status', '--jsn'),
    ]);
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(help.stdout).toMatch(/holdfast relay --route/);
    expect(typo).toMatchObject({ code: 2, stdout: '' });
    expect(typo.stderr).toMatch(/Did you mean status/);
    expect(option.code).toBe(2);
  });

  it('says what is wrong as text or as JSON, with a code to match', async () => {
    const noDatabase = await holdfast(['status'], {});
    expect(noDatabase).toMatchObject({ code: 2, stdout: '' });
    expect(noDatabase.stderr).toMatch(
      /^error HF_CONFIG: Nothing says where the database is\.\n {2}→ Give --database-url/,
    );
    const away = await holdfast(['status', '--json', '--database-url', 'postgres://127.0.0.1:1/x'], { env });
    expect(away.code).toBe(3);
    expect(JSON.parse(away.stdout)).toMatchObject({
      error: { code: 'HF_DATABASE_UNAVAILABLE', advice: expect.any(String) },
    });
    const noSuch = await holdfast(
      ['status', '--json', '--database-url', test.url.replace(/\/[^/]+$/, '/nowhere_at_all')],
      { env },
    );
    expect(noSuch.code).toBe(3);
    expect(JSON.parse(noSuch.stdout)).toMatchObject({
      error: { code: 'HF_DATABASE_UNAVAILABLE', message: expect.stringMatching(/nowhere_at_all/) },
    });
    const noTables = await holdfast(['status', '--json', '--schema', 'elsewhere'], { env });
    expect(noTables.code).toBe(3);
    expect(JSON.parse(noTables.stdout)).toMatchObject({ error: { code: 'HF_SCHEMA_MISSING' } });
    const usage = await holdfast(['outbox', 'show', '--json'], { env });
    expect(usage.code).toBe(2);
    expect(JSON.parse(usage.stdout)).toMatchObject({
      error: { code: 'HF_CONFIG', message: expect.stringMatching(/missing required argument/) },
    });
  });

  it('reads the configuration file of the folder it is in', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
    try {
      const config = (schema: string) =>
        `export default { database: { url: ${JSON.stringify(test.url)} }, schema: '${schema}' };`;
      await writeFile(join(folder, 'holdfast.config.ts'), config('elsewhere'));
      await writeFile(join(folder, 'other.mjs'), config('holdfast'));
      const at = { cwd: folder };
      expect((await holdfast(['status'], at)).stderr).toMatch(/HF_SCHEMA_MISSING/);
      expect(await holdfast(['status', '--config', 'other.mjs'], at)).toMatchObject({ code: 0 });
      expect(await holdfast(['status'], { ...at, env: { HOLDFAST_SCHEMA: 'holdfast' } })).toMatchObject({ code: 0 });
      expect(
        await holdfast(['status', '--schema', 'holdfast'], { ...at, env: { HOLDFAST_SCHEMA: 'third' } }),
      ).toMatchObject({ code: 0 });
      await writeFile(join(folder, 'holdfast.config.ts'), `export default { shcema: 'x' };`);
      const typo = await holdfast(['status'], at);
      expect(typo).toMatchObject({ code: 2 });
      expect(typo.stderr).toMatch(/HF_OPTION_UNKNOWN.*"shcema"[\s\S]*Did you mean "schema"/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('runs none with --no-config, whatever lies there or is named', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
    try {
      for (const name of ['holdfast.config.ts', 'other.mjs'])
        await writeFile(join(folder, name), `console.log('run'); export default { schema: 'elsewhere' };`);
      const at = { cwd: folder, env: { DATABASE_URL: test.url, HOLDFAST_CONFIG: 'other.mjs' } };
      expect((await holdfast(['status'], at)).stdout).toMatch(/^run/);
      const without = await holdfast(['status', '--no-config'], at);
      expect(without).toMatchObject({ code: 0, stderr: '' });
      expect(without.stdout).not.toMatch(/^run/m);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('redact in the configuration file', () => {
  it('hides fields of what is shown of messages and runs', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
    try {
      const config = { database: { url: test.url }, redact: ['customer.email'] };
      await writeFile(join(folder, 'holdfast.config.mjs'), `export default ${JSON.stringify(config)};`);
      const payload = { customer: { email: 'ann@example.org', city: 'Riga' } };
      const { rows } = await database.query<{ id: string }>(
        `SELECT holdfast.send('order.placed', $1) AS id, holdfast.start_runs($2, false)`,
        [
          JSON.stringify(payload),
          JSON.stringify([{ id: '01900000-0000-7000-8000-00000000abcd', saga: 'order', version: 1, input: payload }]),
        ],
      );
      const id = rows[0]?.id ?? '';
      await park(id, 'failed');
      const run = '01900000-0000-7000-8000-00000000abcd';
      const shows = [
        ['outbox', 'show', id],
        ['parked', 'show', id],
        ['saga', 'show', run, '--json'],
        ['saga', 'history', run],
        ['saga', 'history', run, '--json'],
      ];
      for (const args of shows) {
        const { stdout, code } = await holdfast(args, { cwd: folder });
        expect(code).toBe(0);
        expect(stdout).toContain('[redacted]');
        expect(stdout).toContain('Riga');
        expect(stdout).not.toContain('ann@example.org');
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
      await database.query('TRUNCATE holdfast.saga_run, holdfast.saga_journal');
    }
  });
});

describe('holdfast migrate', () => {
  it('shows, applies, and tells what is applied', async () => {
    const fresh = await createTestDatabase();
    const on = async (...args: string[]) => {
      const { stdout, code } = await holdfast(['migrate', ...args, '--database-url', fresh.url, '--json']);
      return { code, data: JSON.parse(stdout) as { migrations: { version: number; state: string }[] } };
    };
    try {
      expect(await on('status', '--check')).toMatchObject({
        code: 10,
        data: { migrations: VERSIONS.map((version) => ({ version, state: 'pending' })) },
      });
      expect(await on('--dry-run')).toMatchObject({
        code: 0,
        data: { dryRun: true, migrations: VERSIONS.map((version) => ({ version })) },
      });
      expect(await on('--to', '1')).toMatchObject({ data: { migrations: [{ version: 1, name: 'outbox' }] } });
      expect((await on('status')).data.migrations.map(({ state }) => state)).toEqual([
        'applied',
        ...VERSIONS.slice(1).map(() => 'pending'),
      ]);
      await on();
      expect(await on()).toMatchObject({ code: 0, data: { migrations: [] } });
      expect(await on('status', '--check')).toMatchObject({ code: 0 });
    } finally {
      await fresh.drop();
    }
  });
});

describe('holdfast status', () => {
  it('tells what an empty database means', async () => {
    const { stdout } = await text('status');
    expect(stdout).toMatch(/the log is empty/);
    expect(stdout).toMatch(/No subscription yet[\s\S]*holdfast relay/);
    expect((await json('status')).data).toMatchObject({ subscriptions: [], scheduled: { count: 0 } });
  });

  it('shows lag and what is parked', async () => {
    const id = await send('order.placed', 'o-1');
    await park(id, 'failed');
    await send('order.placed', 'o-2');
    const { stdout } = await text('status');
    expect(stdout).toMatch(/main +none +- +0 +0\/s +1 +[\d.]+ m?s +1 dead/);
    expect(stdout).toMatch(/no relay holds it/);
    expect((await json('status')).data).toMatchObject({
      subscriptions: [{ name: 'main', live: false, behind: 1, parked: { dead: 1 } }],
    });
    expect((await json('subscription', 'ls')).data).toMatchObject({ subscriptions: [{ name: 'main' }] });
  });
});

describe('holdfast outbox', () => {
  it('lists, pages and shows', async () => {
    expect((await text('outbox', 'ls')).stdout).toMatch(/The log is empty/);
    const first = await send('order.placed', 'o-1');
    const second = await send('stock.reserved');
    expect((await json('outbox', 'ls')).data).toMatchObject({
      messages: [
        { id: second, key: null },
        { id: first, key: 'o-1', seq: 1 },
      ],
      next: null,
    });
    expect((await json('outbox', 'ls', '--limit', '1')).data).toMatchObject({
      messages: [{ id: second }],
      next: { beforeSeq: 2 },
    });
    expect((await json('outbox', 'ls', '--topic', 'order.*', '--since', '1h')).data).toMatchObject({
      messages: [{ id: first }],
    });
    expect((await text('outbox', 'ls', '--until', '1h')).stdout).toMatch(/No message of the log fits/);
    expect((await text('outbox', 'ls')).stdout).toMatch(new RegExp(`2 +${second} +stock.reserved +-`));
    expect((await json('outbox', 'show', first)).data).toMatchObject({
      id: first,
      envelope: { type: 'order.placed', data: { n: 1 } },
    });
    expect((await text('outbox', 'show', first)).stdout).toMatch(/"n": 1/);
    expect(await text('outbox', 'ls', '--since', 'yesterday')).toMatchObject({ code: 2 });
    expect(await json('outbox', 'show', '00000000-0000-7000-8000-000000000000')).toMatchObject({
      code: 2,
      data: { error: { code: 'HF_NOT_FOUND' } },
    });
  });

  it('replays what is asked for, and wants to be asked', async () => {
    const id = await send('order.placed', 'o-1');
    await send('stock.reserved');
    expect(await json('outbox', 'replay', '--since', '1h')).toMatchObject({
      code: 2,
      data: { error: { message: expect.stringMatching(/No relay has run/) } },
    });
    await park(id, 'failed');
    expect(await json('outbox', 'replay')).toMatchObject({ code: 2 });
    expect((await json('outbox', 'replay', '--since', '1h', '--topic', 'order.*', '--dry-run')).data).toMatchObject({
      dryRun: true,
      messages: 1,
    });
    expect((await database.query('SELECT FROM holdfast.replay')).rowCount).toBe(0);
    const { data } = await json('outbox', 'replay', '--all', '--reason', 'redis was empty');
    expect(data).toMatchObject({ subscription: 'main', fromSeq: 1, toSeq: 2, messages: 2 });
    expect((await database.query('SELECT id FROM holdfast.replay')).rows).toEqual([{ id: data['id'] }]);
    expect(await audit()).toEqual([
      { actor: 'tester', action: 'outbox.replay', subject: data['id'], reason: 'redis was empty' },
    ]);
  });
});

describe('holdfast parked', () => {
  it('lists, shows, retries and discards, leaving audit rows', async () => {
    expect((await text('parked', 'ls')).stdout).toMatch(/Nothing is parked/);
    const first = await send('order.placed', 'o-1');
    const second = await send('order.paid', 'o-1');
    await park(first, 'failed');
    await park(second, 'behind');
    expect((await json('parked', 'ls')).data).toMatchObject({
      parked: [
        { id: first, state: 'dead', kind: 'relay' },
        { id: second, state: 'behind' },
      ],
    });
    expect((await text('parked', 'ls', '--state', 'dead')).stdout).toMatch(
      new RegExp(`dead +relay main +${first}.*never +Error: too large`),
    );
    expect((await json('parked', 'show', first)).data).toMatchObject({
      parked: [{ waitingBehind: 1, data: { n: 1 } }],
    });
    expect((await text('parked', 'show', second)).stdout).toMatch(`behind: waits for ${first}`);

    expect((await json('parked', 'retry', first, '--reason', 'limit raised')).data).toMatchObject({ retried: 1 });
    expect((await json('parked', 'ls', '--state', 'failed')).data).toMatchObject({
      parked: [{ id: first, retryInMs: 0 }],
    });
    expect(await text('parked', 'discard', first)).toMatchObject({ code: 2 });
    expect((await json('parked', 'discard', first, '--reason', 'a test')).data).toMatchObject({
      discarded: { id: first },
    });
    expect((await json('parked', 'ls')).data).toMatchObject({ parked: [{ id: second }] });
    expect(await audit()).toEqual([
      { actor: 'tester', action: 'parked.retry', subject: `main/${first}`, reason: 'limit raised' },
      { actor: 'tester', action: 'parked.discard', subject: `main/${first}`, reason: 'a test' },
    ]);
    expect((await text('parked', 'retry', '--all', '--actor', 'somebody')).stdout).toMatch(/nothing to retry/i);
    expect(await text('parked', 'retry')).toMatchObject({ code: 2 });
  });
});

describe('holdfast subscription drop', () => {
  it('wants a reason, and a word about what is lost', async () => {
    await park(await send('order.placed', 'o-1'), 'failed');
    expect(await text('subscription', 'drop', 'main')).toMatchObject({ code: 2 });
    expect(await json('subscription', 'drop', 'main', '--reason', 'x')).toMatchObject({
      code: 2,
      data: { error: { advice: expect.stringMatching(/--discard-parked/) } },
    });
    expect((await json('subscription', 'drop', 'main', '--reason', 'x', '--discard-parked')).data).toMatchObject({
      dropped: { name: 'main', parked: 1 },
    });
    expect((await json('subscription', 'ls')).data).toEqual({ subscriptions: [] });
  });
});

describe('holdfast doctor', () => {
  it('ends with 10 when it finds errors', async () => {
    await park(await send('order.placed', 'o-1'), 'failed');
    const { code, data } = await json('doctor', '--redis-url', sharedRedisUrl());
    expect(code).toBe(10);
    expect(data).toMatchObject({ ok: false, checks: expect.arrayContaining(['redis', 'flow']) });
    const repair = "holdfast subscription drop main --reason '…'";
    expect(data['findings']).toEqual(
      expect.arrayContaining([expect.objectContaining({ check: 'flow.no-lease', level: 'error', repair })]),
    );
    const { stdout } = await text('doctor');
    expect(stdout).toMatch(/^error +Nobody serves .*\n +Its messages wait.*\n +→ Start a relay .*\n +\$ holdfast sub/m);
  });
});

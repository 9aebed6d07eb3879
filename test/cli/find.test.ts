/** `holdfast find`, `outbox path`, and the searches of `outbox ls` and `saga ls`, as a person has them at a terminal. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { seedRun } from '../operations/saga-lab.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { holdfast } from './process.ts';

let test: TestDatabase;
let database: Database;
let messageId: string;
let runId: string;
const NOBODY = '00000000-0000-7000-8000-000000000000';

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  database = openDatabase({ url: test.url });
  runId = await seedRun(database, { key: 'o-1', journal: [[{ t: 'started', input: { order: 'o-1' } }]] });
  const { rows } = await database.query<{ id: string }>(
    `SELECT holdfast.send('order.placed', '{"orderId": "o-1"}', key => 'o-1', headers => '{"tenant": "a"}') AS id`,
  );
  messageId = rows[0]!.id;
  await database.query(
    `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier) VALUES ('main', pg_current_snapshot(), 1, 1)`,
  );
  await database.query(`INSERT INTO holdfast.inbox (consumer, message_id) VALUES ('billing', $1)`, [messageId]);
});
afterAll(async () => {
  await database.close();
  await test.drop();
});

const run = (...args: string[]) => holdfast(args, { env: { DATABASE_URL: test.url } });
const json = async (...args: string[]) => {
  const { stdout, code } = await run(...args, '--json');
  return { code, data: JSON.parse(stdout) as Record<string, unknown> };
};

it('finds what has a name, and says what to look at', async () => {
  const { stdout, code } = await run('find', 'o-1');
  expect(code).toBe(0);
  expect(stdout).toMatch(new RegExp(`run +${runId} +place-order@1 +o-1 +key +running`));
  expect(stdout).toMatch(new RegExp(`message +${messageId} +order.placed +o-1 +key`));
  expect(stdout).toMatch(`Look at it: holdfast saga show ${runId}`);
  expect(await json('find', messageId)).toMatchObject({
    code: 0,
    data: { found: [{ kind: 'message', id: messageId, show: `holdfast outbox path ${messageId}` }], advice: null },
  });
});

it('ends with 2 when nothing has it, and shows what begins alike', async () => {
  const nothing = await run('find', 'o-2');
  expect(nothing).toMatchObject({ code: 2, stderr: '' });
  expect(nothing.stdout).toMatch(/^Nothing is named o-2\./);
  const cut = await run('find', messageId.slice(0, 20));
  expect(cut.code).toBe(2);
  expect(cut.stdout).toMatch(messageId);
  expect(cut.stdout).toMatch(/No id is just that; \d begin/);
  expect(await json('find', NOBODY)).toMatchObject({ code: 2, data: { found: [], advice: expect.any(String) } });
  expect(await run('find', '')).toMatchObject({ code: 2 });
});

it('shows the way of a message, with the times between', async () => {
  const { stdout, code } = await run('outbox', 'path', messageId);
  expect(code).toBe(0);
  expect(stdout).toMatch(/topic +order.placed/);
  expect(stdout).toMatch(new RegExp(`\\+0 ms +● ${messageId} order.placed was written in transaction \\d+`));
  expect(stdout).toMatch(/→ main published it/);
  expect(stdout).toMatch(/\+\d.* ✔ billing handled it/);
  expect(await json('outbox', 'path', messageId)).toMatchObject({
    code: 0,
    data: { state: 'logged', consumers: [{ consumer: 'billing', state: 'handled' }] },
  });
  expect(await json('outbox', 'path', NOBODY)).toMatchObject({ code: 2, data: { error: { code: 'HF_NOT_FOUND' } } });
});

it('searches messages and runs', async () => {
  for (const filter of [
    ['--payload', '{"orderId": "o-1"}'],
    ['--header', 'tenant=a'],
    ['--id', messageId.slice(0, 12)],
    ['--key', 'o-1'],
  ])
    expect((await json('outbox', 'ls', ...filter)).data).toMatchObject({ messages: [{ id: messageId }], older: null });
  expect((await run('outbox', 'ls', '--header', 'tenant=b')).stdout).toMatch(/No message of the log fits/);
  expect(await run('outbox', 'ls', '--header', 'tenant')).toMatchObject({ code: 2 });
  expect(await run('outbox', 'ls', '--cursor', 'x')).toMatchObject({ code: 2 });
  for (const filter of [
    ['--input', '{"order": "o-1"}'],
    ['--id', runId.slice(0, 12)],
    ['--key', 'o-1', '--updated-since', '1h'],
  ])
    expect((await json('saga', 'ls', ...filter)).data).toMatchObject({ runs: [{ id: runId }], older: null });
  expect((await run('saga', 'ls', '--finished-since', '1h')).stdout).toMatch(/No run fits/);
});

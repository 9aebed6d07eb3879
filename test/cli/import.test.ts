/** `holdfast import` as a child process: it shows first, moves with --yes, and maps by a module. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';
import { holdfast } from './process.ts';

let test: TestDatabase;
let folder: string;

beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  folder = await mkdtemp(join(tmpdir(), 'holdfast-import-'));
  await test.pool.query(`CREATE TABLE events (id serial PRIMARY KEY, kind text, payload jsonb)`);
  await test.pool.query(
    `INSERT INTO events (kind, payload) VALUES ('paid', '{"order": "o-1"}'), ('a=b', '{}'), ('odd', '{}')`,
  );
});
afterAll(async () => {
  await test.drop();
  await rm(folder, { recursive: true });
});

const run = async (...args: string[]) => holdfast(args, { env: { DATABASE_URL: test.url, HOLDFAST_ACTOR: 'tester' } });
const topics = async () =>
  (await test.pool.query('SELECT topic, key FROM holdfast.outbox ORDER BY seq')).rows as readonly object[];

it('shows first, and moves with --yes', async () => {
  const flags = [
    'import',
    'table',
    'events',
    '--name',
    'kind',
    '--topic',
    'paid=order.paid',
    '--topic',
    'a=b=order.other',
  ];
  const shown = await run(...flags);
  expect(shown).toMatchObject({ code: 0, stderr: '' });
  expect(shown.stdout).toMatch(/paid +order\.paid[^]*nothing says its topic[^]*do it with --yes/);
  expect(await topics()).toEqual([]);
  const done = await run(...flags, '--yes', '--json');
  expect(JSON.parse(done.stdout)).toMatchObject({ moved: 2, left: [{ name: 'odd', count: 1 }] });
  expect(await topics()).toMatchObject([{ topic: 'order.paid' }, { topic: 'order.other' }]);
});

it('maps by the function of a module', async () => {
  const map = join(folder, 'map.ts');
  await writeFile(
    map,
    `import type { MappedJob } from 'nowhere';
     export default ({ name, ref }: { name: string; ref: string }): MappedJob | null => ({ topic: 'event.' + name, key: ref });`,
  );
  const done = await run('import', 'table', 'events', '--name', 'kind', '--map', map, '--yes');
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(done.stdout).toMatch(/Moved 1 job[^]*empty now/);
  expect((await topics()).at(-1)).toMatchObject({ topic: 'event.odd', key: '3' });
});

it('says what cannot be meant', async () => {
  expect(await run('import', 'pg-boss')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/no table pgboss\.job/),
  });
  const topic = await run('import', 'table', 'events', '--topic', 'paid');
  expect(topic).toMatchObject({ code: 2, stderr: expect.stringMatching(/NAME=TOPIC/) });
});

/** `holdfast dashboard` as a child process. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { daemon, holdfast } from '../cli/process.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

let test: TestDatabase;
let env: Record<string, string>;
beforeAll(async () => {
  test = await createTestDatabase({ migrate: true });
  env = { DATABASE_URL: test.url };
});
afterAll(() => test.drop());

it('serves whoever sits at the machine, and stops when told to', async () => {
  const process = await daemon([], { env, verb: 'dashboard' });
  const url = await process.url();
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  await process.line('nobody has to log in');
  const overview = await fetch(`${url}api/overview`);
  expect(await overview.json()).toMatchObject({ relay: { schema: 'holdfast' } });
  // An open page does not hold up the stop.
  const live = await fetch(`${url}api/live`);
  process.child.kill('SIGTERM');
  expect(await process.exit).toBe(0);
  await live.text().catch(() => '');
});

it('knows the tokens of the environment, below a base path', async () => {
  const token = 'a-token-0123456789';
  const process = await daemon(['--base-path', '/ops'], {
    env: { ...env, HOLDFAST_DASHBOARD_TOKENS: `ada:viewer:${token}` },
    verb: 'dashboard',
  });
  const url = await process.url();
  expect(url).toMatch(/\/ops\/$/);
  expect((await fetch(`${url}api/session`)).status).toBe(401);
  const session = await fetch(`${url}api/session`, { headers: { authorization: `Bearer ${token}` } });
  expect(await session.json()).toMatchObject({ actor: 'ada', role: 'viewer' });
  process.child.kill('SIGTERM');
  expect(await process.exit).toBe(0);
});

it.each([
  ['an address that others can reach, without a login', ['--host', '0.0.0.0'], {}, /open to everybody/],
  ['a token that is none', [], { HOLDFAST_DASHBOARD_TOKENS: 'ada:root:secret-secret-secret' }, /role "root"/],
  ['a port that is none', ['--port', '70000'], {}, /port is 70000/],
  ['a path that is none', ['--base-path', 'a b'], {}, /basePath/],
])('refuses %s', async (_, args, more, message) => {
  const { code, stderr, stdout } = await holdfast(['dashboard', ...args], { env: { ...env, ...more } });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/secret-secret/);
});

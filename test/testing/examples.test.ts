/**
 * The examples of docs/testing.md are run as their users run them, by vitest and by node:test, and the page shows what they are.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, inject, it } from 'vitest';
import { ROOT } from '../house/source-files.ts';

const FOLDER = join(ROOT, 'examples/testing');
const run = promisify(execFile);
const env = (): NodeJS.ProcessEnv => {
  const { VITEST: _vitest, NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _context, ...rest } = process.env;
  return { ...rest, HOLDFAST_TEST_DATABASE_URL: inject('postgresAdminUrl'), NO_COLOR: '1' };
};

it('run with vitest', async () => {
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const { stdout } = await run(process.execPath, [vitest, 'run', '--root', FOLDER], { cwd: FOLDER, env: env() });
  expect(stdout).toMatch(/Tests {2}4 passed \(4\)/);
});

it('run with node:test', async () => {
  const args = ['--import', 'tsx', '--test', '--test-reporter=tap', join(FOLDER, 'node-runner.test.ts')];
  const { stdout } = await run(process.execPath, args, { cwd: ROOT, env: env() });
  expect(stdout).toMatch(/# pass 2\n# fail 0/);
});

it('are what the page shows', () => {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.ts'));
  const files = names.map((name) => readFileSync(join(FOLDER, name), 'utf8'));
  const page = readFileSync(join(ROOT, 'docs/testing.md'), 'utf8');
  const shown = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code.trim());
  expect(shown.length).toBeGreaterThan(5);
  expect(shown.filter((code) => !files.some((text) => text.includes(code)))).toEqual([]);
});

/**
 * What is loaded when: `import 'holdfast'` loads what every service needs, and no client of a broker, builder of queries, server of pages
 * or reader of configuration; the rest comes with the first thing that uses it. Each in a process of its own.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT } from './source-files.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-loaded-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Notes where each import of the process leads. */
const HOOK = `
  import { appendFileSync } from 'node:fs';
  export async function resolve(specifier, context, next) {
    const found = await next(specifier, context);
    appendFileSync(process.env.LOADED, found.url + '\\n');
    return found;
  }`;
const REGISTER = `
  import { register } from 'node:module';
  register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(HOOK)}));`;

const dataUrl = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;

let runs = 0;

/** Names of the packages that are loaded by what runs in a fresh process. */
async function packagesLoadedBy(...args: readonly string[]): Promise<readonly string[]> {
  const list = join(folder, `loaded-${(runs += 1)}`);
  const env = { ...process.env, LOADED: list };
  await promisify(execFile)(process.execPath, ['--import', 'tsx', '--import', dataUrl(REGISTER), ...args], {
    cwd: ROOT,
    env,
  });
  const urls = (await readFile(list, 'utf8')).split('\n');
  expect(urls.some((url) => url.endsWith('/src/errors.ts'))).toBe(true);
  const names = urls.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? []);
  return [...new Set(names)].filter((name) => name !== 'tsx').toSorted();
}

const doorAt = (path: string): string => JSON.stringify(pathToFileURL(join(ROOT, path)).href);
const evaluated = (code: string): readonly string[] => [
  '--input-type=module',
  '-e',
  `const holdfast = { ...(await import(${doorAt('src/index.ts')})), ...(await import(${doorAt('src/doors/bullmq.ts')})), ...(await import(${doorAt('src/doors/redis-streams.ts')})) };\n${code}`,
];

it("import 'holdfast' loads nothing that not every service needs, and making its parts neither", async () => {
  const loaded = await packagesLoadedBy(
    ...evaluated(`
      const database = holdfast.openDatabase({ url: 'postgres://127.0.0.1:1/none' });
      holdfast.createRedisWindow({ connection: 'redis://127.0.0.1:1' });
      const transport = holdfast.createBullmqTransport({ connection: 'redis://127.0.0.1:1' });
      holdfast.createBullmqPostgresTransport({ connection: 'postgres://127.0.0.1:1/none' });
      holdfast.createRedisStreamsTransport({ connection: 'redis://127.0.0.1:1' });
      holdfast.createConsumer('quiet', { database, transport, handlers: [], ignore: ['**'] });
      holdfast.createWorker({ database, sagas: [holdfast.saga({ name: 'one', input: {
        '~standard': { version: 1, vendor: 'none', validate: (value) => ({ value }) },
      }, steps: {}, run: async () => null })] });
      await database.close();`),
  );
  expect(loaded).toEqual(['@opentelemetry/api', 'cockatiel', 'pg', 'uuid']);
});

it('what publishes, and what reads runs, brings its own', async () => {
  const loaded = await packagesLoadedBy(
    ...evaluated(`
      const transport = holdfast.createBullmqTransport({ connection: 'redis://127.0.0.1:1', publishTimeout: 100 });
      await transport.publisher().check({ signal: AbortSignal.timeout(30_000) }).catch(() => {});
      await transport.close();
      const database = holdfast.openDatabase({ url: 'postgres://127.0.0.1:1/none' });
      await holdfast.listRuns(database).catch(() => {});
      await database.close();`),
  );
  expect(loaded).toEqual(expect.arrayContaining(['bullmq', 'ioredis', 'kysely']));
  expect(loaded).not.toContain('hono');
});

it('the help of the command line loads no more than the command line', async () => {
  const loaded = await packagesLoadedBy(join(ROOT, 'src/cli/main.ts'), '--help');
  expect(loaded).toEqual(['commander']);
});

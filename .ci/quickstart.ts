/**
 * The README's quickstart, done as it stands there, in an empty TypeScript project with the packed package installed.
 *
 *   node .ci/bootstrap.mjs .ci/quickstart.ts holdfast-x.y.z.tgz
 *
 * Code blocks of README.md take part when a comment stands before them:
 *   <!-- quickstart: file=NAME -->   the block is written to NAME
 *   <!-- quickstart: run -->         the block's lines are run in bash, in the order of the page
 * Without a block to run, the compiled files are run one after the other. Commands find PostgreSQL in DATABASE_URL and
 * HOLDFAST_DATABASE_URL, and Redis in REDIS_URL and HOLDFAST_REDIS_URL.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { findOrStartPostgres } from '../src/servers/postgres.ts';
import { findOrStartRedis } from '../src/servers/redis.ts';

interface Block {
  readonly file: string | undefined;
  readonly text: string;
}

const COMMAND_TIMEOUT_MS = 180_000;

const [tarball] = process.argv.slice(2);
if (tarball === undefined) throw new Error('Give the path of the packed package.');
await main(resolve(tarball));

async function main(packed: string): Promise<void> {
  const blocks = quickstartBlocks(readFileSync(new URL('../README.md', import.meta.url), 'utf8'));
  const files = blocks.flatMap(({ file }) => file ?? []);
  if (files.length === 0) throw new Error('README.md has no code block marked <!-- quickstart: file=NAME -->.');
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-quickstart-'));
  const [postgres, redis] = await Promise.all([findOrStartPostgres(), findOrStartRedis()]);
  const env = {
    ...process.env,
    DATABASE_URL: postgres.url,
    HOLDFAST_DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    HOLDFAST_REDIS_URL: redis.url,
  };
  try {
    makeProject(folder, packed);
    for (const { file, text } of blocks) if (file !== undefined) writeInto(folder, file, text);
    await bash(folder, 'npx tsc', env);
    const commands = blocks.filter(({ file }) => file === undefined).map(({ text }) => text);
    const programs = files.filter((file) => /\.[cm]?ts$/.test(file)).map((file) => `node ${file.replace(/ts$/, 'js')}`);
    for (const command of commands.length > 0 ? commands : programs) await bash(folder, command, env);
    console.log(`quickstart: ${files.join(', ')} compiled and ran`);
    await runBundled(folder, env);
  } finally {
    await Promise.all([postgres.dispose(), redis.dispose()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An application bundled into one file, in a folder with nothing else: it migrates, and its parts start. */
async function runBundled(folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  writeInto(
    folder,
    'bundled.js',
    `import { createBullmqTransport, createWorker, listRuns, migrate, openDatabase, saga } from 'holdfast';
import { z } from 'zod';
async function main() {
  const database = openDatabase({ url: process.env.DATABASE_URL, schema: process.env.BUNDLED_SCHEMA });
  await migrate(database);
  const flow = saga({ name: 'bundled', input: z.object({}), steps: {}, run: async () => 'well' });
  const worker = createWorker({ database, sagas: [flow] });
  await worker.start();
  const run = await worker.sagas.start(flow, {});
  if ((await run.result()) !== 'well') throw new Error('the run did not complete');
  await worker.stop();
  // What is loaded with its first use is in the bundle as well.
  if ((await listRuns(database)).length !== 1) throw new Error('the run is not listed');
  await database.close();
  const transport = createBullmqTransport({ connection: process.env.REDIS_URL });
  await transport.publisher().check({ signal: AbortSignal.timeout(30_000) });
  await transport.close();
}
main().catch((error) => { console.error(error); process.exitCode = 1; });`,
  );
  for (const format of ['esm', 'cjs']) {
    const file = `alone/${format}/app.${format === 'esm' ? 'mjs' : 'cjs'}`;
    // Clients of brokers and drivers require() by name what they may do without.
    const banner = `--banner:js="import{createRequire}from'node:module';const require=createRequire(import.meta.url);"`;
    const bundle = `npx esbuild bundled.js --bundle --platform=node --target=node20 --external:pg-native --log-level=error --format=${format} --outfile=${file}`;
    await bash(folder, format === 'esm' ? `${bundle} ${banner}` : bundle, env);
    await bash(folder, `cd "$(mktemp -d)" && mv ${join(folder, file)} . && node ./*js`, {
      ...env,
      BUNDLED_SCHEMA: `bundled_${format}`,
    });
  }
  console.log('quickstart: bundled into one file, as ESM and as CommonJS, it migrated and ran');
}

function quickstartBlocks(page: string): readonly Block[] {
  const marked = /<!--\s*quickstart:\s*(?:file=(?<file>\S+)|run)\s*-->\s*```\w*\n(?<text>[\s\S]*?)\n```/g;
  return [...page.matchAll(marked)].map(({ groups }) => ({ file: groups?.['file'], text: groups?.['text'] ?? '' }));
}

function makeProject(folder: string, packed: string): void {
  writeInto(folder, 'package.json', JSON.stringify({ name: 'quickstart', private: true, type: 'module' }));
  // Type checking of libraries stays on: the declarations we ship are part of what is tested.
  const compilerOptions = { target: 'es2023', module: 'nodenext', strict: true, exactOptionalPropertyTypes: true };
  const tsconfig = {
    compilerOptions: { ...compilerOptions, types: ['node'] },
    include: ['**/*.ts'],
  };
  writeInto(folder, 'tsconfig.json', JSON.stringify(tsconfig));
  const { devDependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  const tools = ['typescript', '@types/node', 'esbuild', 'tsx'].map((name) => `${name}@${devDependencies[name]}`);
  const args = ['install', '--no-audit', '--no-fund', '--loglevel=error', packed, 'pg', 'zod', ...tools];
  const { status } = spawnSync('npm', args, { cwd: folder, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error('The packed package could not be installed in an empty project.');
}

function writeInto(folder: string, name: string, text: string): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), `${text}\n`);
}

/** Runs the lines of one block; what it left in the background is ended after it. */
async function bash(folder: string, script: string, env: NodeJS.ProcessEnv): Promise<void> {
  console.log(script.replaceAll(/^/gm, '$ '));
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: folder,
    env,
    stdio: 'inherit',
    detached: true,
  });
  const endGroup = (): void => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // The whole group has ended.
    }
  };
  const timer = setTimeout(endGroup, COMMAND_TIMEOUT_MS);
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  endGroup();
  if (code !== 0) throw new Error(`It ended with ${signal ?? `exit code ${code}`}: ${script}`);
}

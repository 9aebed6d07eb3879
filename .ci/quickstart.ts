/**
 * The first steps of README.md, all of docs/tutorial.md and of docs/recipes, done word by word as they stand there, in empty folders, with
 * the packed package.
 *
 *   node .ci/bootstrap.mjs .ci/quickstart.ts holdfast-x.y.z.tgz [readme | tutorial | recipes | NAME of a recipe ...]
 *
 * Recipes share a folder, in which docs/recipes/README.md is done first, once: files of different recipes have different names. Two are
 * done at a time.
 *
 * Code blocks take part when a comment stands before them, in the order of the page:
 *   <!-- quickstart: file=NAME -->                 the block is written to NAME
 *   <!-- quickstart: run -->                       the block's lines are run in bash
 *   <!-- quickstart: run until=PATTERN -->         run again and again, until their output matches
 *   <!-- quickstart: background until=PATTERN -->  they go on beside what follows, which waits until their output matches
 * Three things differ from what a reader does: ports are free ones, `npm install holdfast` installs the packed file, and lines that begin
 * with `export` are passed over, for the commands are given the servers of this machine by the same variables.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { dataFolder } from '../src/cli/dev/home.ts';
import { freePort } from '../src/servers/machine.ts';
import { findOrStartPostgres } from '../src/servers/postgres.ts';
import { findOrStartRedis } from '../src/servers/redis.ts';
import { createEmptyProject, toolsOf, type EmptyProject } from './empty-project.ts';

/** When something hangs. */
const LONGEST_MS = 90_000;

interface Block {
  readonly file: string | undefined;
  readonly how: string | undefined;
  /** A regular expression. */
  readonly until: string | undefined;
  readonly text: string;
}

/** Uses what is in files beside the code where it is not bundled, and what is loaded with its first use. */
const APPLICATION = `import { createWorker, listRuns, migrate, openDatabase, saga } from 'holdfast';
import { createBullmqTransport } from 'holdfast/bullmq';
import { createDashboard } from 'holdfast/dashboard';
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
  const dashboard = createDashboard({ database, anonymous: 'viewer' });
  const page = await (await dashboard.fetch(new Request('http://localhost/'))).text();
  const script = /src="([^"]+[.]js)"/.exec(page)?.[1];
  const answer = await dashboard.fetch(new Request(new URL(script, 'http://localhost/')));
  if (!answer.ok || (await answer.text()).length < 10_000) throw new Error('the page of the dashboard is not there');
  await dashboard.close();
  await database.close();
  const transport = createBullmqTransport({ connection: process.env.REDIS_URL });
  await transport.publisher().check({ signal: AbortSignal.timeout(30_000) });
  await transport.close();
}
main().catch((error) => { console.error(error); process.exitCode = 1; });`;

const RECIPES = ['cache-invalidation', 'search-index', 'audit-log', 'money-transfer', 'sign-up', 'webhooks'];

const [tarball, ...only] = process.argv.slice(2);
if (tarball === undefined) throw new Error('Give the path of the packed package.');
const isAsked = (name: string): boolean => only.length === 0 || only.includes(name);
if (isAsked('readme')) await readme(resolve(tarball));
if (isAsked('tutorial')) await tutorial(resolve(tarball));
const asked = isAsked('recipes') ? RECIPES : RECIPES.filter(isAsked);
if (asked.length > 0) await recipes(resolve(tarball), asked);

async function readme(packed: string): Promise<void> {
  const blocks = quickstartBlocks('../README.md');
  const [postgres, redis] = await Promise.all([findOrStartPostgres(), findOrStartRedis()]);
  const project = createEmptyProject({ DATABASE_URL: postgres.url, REDIS_URL: redis.url });
  try {
    for (const block of blocks) await doBlock(project, block, (script) => asHere(script, packed));
    await compile(project, false);
    console.log('quickstart: README.md ran, and compiles with strict options');
    await runBundled(project);
  } finally {
    await Promise.all([postgres.dispose(), redis.dispose()]);
    project.dispose();
  }
}

/** As its reader, with no server given: `holdfast dev` brings one. */
async function tutorial(packed: string): Promise<void> {
  const blocks = quickstartBlocks('../docs/tutorial.md');
  const [port, dashboard] = [String(await freePort()), String(await freePort())];
  const env = { DATABASE_URL: undefined, REDIS_URL: undefined, PORT: port, HOLDFAST_DASHBOARD_PORT: dashboard };
  const project = createEmptyProject(env);
  const here = (script: string): string => asHere(script, packed).replaceAll('127.0.0.1:3000', `127.0.0.1:${port}`);
  try {
    for (const block of blocks) await doBlock(project, block, here);
    await compile(project, true);
    console.log('quickstart: docs/tutorial.md ran, and compiles with strict options');
  } finally {
    await project.end();
    rmSync(dataFolder(join(project.folder, '.holdfast')), { recursive: true, force: true });
    project.dispose();
  }
}

async function recipes(packed: string, names: readonly string[]): Promise<void> {
  const [postgres, redis] = await Promise.all([findOrStartPostgres(), findOrStartRedis()]);
  const env = { DATABASE_URL: postgres.url, HOLDFAST_TEST_DATABASE_URL: postgres.url, REDIS_URL: redis.url };
  const project = createEmptyProject(env);
  const here = (script: string): string => asHere(script, packed);
  const began = performance.now();
  const todo = [...names];
  const page = async (name: string): Promise<void> => {
    const since = performance.now();
    // A page is done from top to bottom.
    // oxlint-disable-next-line no-await-in-loop
    for (const block of quickstartBlocks(`../docs/recipes/${name}.md`)) await doBlock(project, block, here);
    console.log(`quickstart: docs/recipes/${name}.md ran (${seconds(since)})`);
  };
  const one = async (): Promise<void> => {
    // oxlint-disable-next-line no-await-in-loop
    for (let name = todo.shift(); name !== undefined; name = todo.shift()) await page(name);
  };
  try {
    await page('README');
    await Promise.all([one(), one()]);
    await compile(project, true);
    console.log(`quickstart: the recipes compile with strict options (all of it: ${seconds(began)})`);
  } finally {
    await Promise.all([postgres.dispose(), redis.dispose()]);
    project.dispose();
  }
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`;
}

async function doBlock(
  project: EmptyProject,
  { file, how, until, text }: Block,
  here: (script: string) => string,
): Promise<void> {
  if (file !== undefined) return project.write(file, text);
  const script = here(text);
  if (until === undefined) return project.bash(script);
  const pattern = new RegExp(until);
  console.log(script.replaceAll(/^/gm, how === 'run' ? '$ ' : '& '));
  if (how === 'background') return project.background(script, pattern);
  const deadline = performance.now() + LONGEST_MS;
  for (;;) {
    const output = await project.output(script);
    if (pattern.test(output)) {
      console.log(output);
      return;
    }
    if (performance.now() > deadline) throw new Error(`${script} never showed ${until}. At last:\n${output}`);
    await new Promise((again) => setTimeout(again, 100));
  }
}

function quickstartBlocks(path: string): readonly Block[] {
  const page = readFileSync(new URL(path, import.meta.url), 'utf8');
  const marked =
    /<!--\s*quickstart:\s*(?:file=(?<file>\S+)|(?<how>run|background)(?: until=(?<until>\S+))?)\s*-->\s*```\w*\n(?<text>[\s\S]*?)\n```/g;
  const blocks = [...page.matchAll(marked)].map(({ groups }) => ({
    file: groups?.['file'],
    how: groups?.['how'],
    until: groups?.['until'],
    text: groups?.['text'] ?? '',
  }));
  if (blocks.length !== page.match(/<!--\s*quickstart:/g)?.length)
    throw new Error(`${path} has a mark that is not understood.`);
  return blocks;
}

function asHere(script: string, packed: string): string {
  return script
    .split('\n')
    .filter((line) => !line.startsWith('export '))
    .join('\n')
    .replaceAll(/^npm install holdfast\b/gm, `npm install ${packed}`);
}

/** Where only we are installed, type checking of libraries stays on: the declarations we ship are part of what is tested. */
async function compile(project: EmptyProject, skipLibCheck: boolean): Promise<void> {
  const compilerOptions = {
    target: 'es2023',
    module: 'nodenext',
    strict: true,
    skipLibCheck,
    exactOptionalPropertyTypes: true,
    types: ['node'],
    noEmit: true,
  };
  project.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['**/*.ts'] }));
  await project.bash('npx tsc');
}

/** An application bundled into one file, in a folder with nothing else: it migrates, and its parts start. */
async function runBundled(project: EmptyProject): Promise<void> {
  await project.bash(`npm install --save-dev ${toolsOf('esbuild')}`);
  project.write('bundled.js', APPLICATION);
  for (const format of ['esm', 'cjs']) {
    const file = `alone/${format}/app.${format === 'esm' ? 'mjs' : 'cjs'}`;
    // Clients of brokers and drivers require() by name what they may do without.
    const banner = `--banner:js="import{createRequire}from'node:module';const require=createRequire(import.meta.url);"`;
    const bundle = `npx esbuild bundled.js --bundle --platform=node --target=node20 --external:pg-native --log-level=error --format=${format} --outfile=${file}`;
    await project.bash(format === 'esm' ? `${bundle} ${banner}` : bundle);
    await project.bash(
      `cd "$(mktemp -d)" && mv ${join(project.folder, file)} . && BUNDLED_SCHEMA=bundled_${format} node ./*js`,
    );
  }
  console.log('quickstart: bundled into one file, as ESM and as CommonJS, it migrated and ran');
}

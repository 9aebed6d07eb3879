/**
 * The README's first steps, done word by word as they stand there, in an empty folder, with the packed package.
 *
 *   node .ci/bootstrap.mjs .ci/quickstart.ts holdfast-x.y.z.tgz
 *
 * Code blocks of README.md take part when a comment stands before them, in the order of the page:
 *   <!-- quickstart: file=NAME -->   the block is written to NAME
 *   <!-- quickstart: run -->         the block's lines are run in bash
 * Two things differ from what a reader does: `npm install holdfast` installs the packed file, and lines that begin with `export` are passed
 * over, for the commands are given the servers of this machine by the same variables.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findOrStartPostgres } from '../src/servers/postgres.ts';
import { findOrStartRedis } from '../src/servers/redis.ts';
import { createEmptyProject, toolsOf, type EmptyProject } from './empty-project.ts';

interface Block {
  readonly file: string | undefined;
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

const [tarball] = process.argv.slice(2);
if (tarball === undefined) throw new Error('Give the path of the packed package.');
await main(resolve(tarball));

async function main(packed: string): Promise<void> {
  const blocks = quickstartBlocks(readFileSync(new URL('../README.md', import.meta.url), 'utf8'));
  const files = blocks.flatMap(({ file }) => file ?? []);
  if (files.length === 0 || files.length === blocks.length)
    throw new Error('README.md has no code block marked <!-- quickstart: file=NAME -->, or none to run.');
  const [postgres, redis] = await Promise.all([findOrStartPostgres(), findOrStartRedis()]);
  const project = createEmptyProject({ DATABASE_URL: postgres.url, REDIS_URL: redis.url });
  try {
    for (const { file, text } of blocks) {
      if (file === undefined) await project.bash(asHere(text, packed));
      else project.write(file, text);
    }
    await compile(project);
    console.log(`quickstart: ${files.join(', ')} ran, and compiles with strict options`);
    await runBundled(project);
  } finally {
    await Promise.all([postgres.dispose(), redis.dispose()]);
    project.dispose();
  }
}

function quickstartBlocks(page: string): readonly Block[] {
  const marked = /<!--\s*quickstart:\s*(?:file=(?<file>\S+)|run)\s*-->\s*```\w*\n(?<text>[\s\S]*?)\n```/g;
  return [...page.matchAll(marked)].map(({ groups }) => ({ file: groups?.['file'], text: groups?.['text'] ?? '' }));
}

function asHere(script: string, packed: string): string {
  return script
    .split('\n')
    .filter((line) => !line.startsWith('export '))
    .join('\n')
    .replaceAll(/^npm install holdfast\b/gm, `npm install ${packed}`);
}

/** Type checking of libraries stays on: the declarations we ship are part of what is tested. */
async function compile(project: EmptyProject): Promise<void> {
  const compilerOptions = {
    target: 'es2023',
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    types: ['node'],
    noEmit: true,
  };
  project.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['*.ts'] }));
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

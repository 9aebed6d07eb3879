/**
 * The first hour of a stranger, done in empty folders with the packed package: `holdfast init`, `npm run dev`, an order, its run on the
 * dashboard; then projects that init offers compile, pass their own test, and take an order: as many as it takes to have each choice once,
 * or with --all every one.
 *
 *   node .ci/bootstrap.mjs .ci/init.ts holdfast-x.y.z.tgz [--all | FRAMEWORK-ORM-BROKER…]
 *
 * Times are printed and not judged.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataFolder } from '../src/cli/dev/home.ts';
import { extendManifest } from '../src/cli/init/manifest.ts';
import { partsOf, type ProjectChoices } from '../src/cli/init/parts.ts';
import { startPostgres, type PostgresServer } from '../src/servers/postgres.ts';
import { startRedis, type RedisServer } from '../src/servers/redis.ts';
import { withClient } from '../src/servers/postgres-client.ts';
import { eachChoiceOnce, everyProject } from '../test/support/first-projects.ts';
import { PRISMA_ENV } from '../test/support/prisma-client.ts';
import { orderGoesThrough, startDev } from './dev-process.ts';
import { createEmptyProject, type EmptyProject } from './empty-project.ts';

/** Projects tried at once. Each waits for much, and there may be two processors. */
const LANES = 3;
/** What one Redis has. */
const REDIS_DATABASES = 16;

const [tarball, ...chosen] = process.argv.slice(2);
if (tarball === undefined) throw new Error('Give the path of the packed package.');
const packed = resolve(tarball);
if (chosen.length === 0) await firstHour();
await otherProjects(projectsFor(chosen));

function projectsFor(given: readonly string[]): readonly ProjectChoices[] {
  if (given.length === 0) return eachChoiceOnce();
  const found = everyProject().filter((project) => given.includes('--all') || given.includes(nameOf(project)));
  if (found.length === 0) throw new Error(`There is no project ${given.join(' ')}.`);
  return found;
}

function nameOf({ framework, orm, broker }: ProjectChoices): string {
  return `${framework}-${orm}-${broker}`;
}

/** As the README says it, but for the place that Holdfast comes from. */
async function firstHour(): Promise<void> {
  const project = createEmptyProject();
  try {
    const began = performance.now();
    // A folder that npm makes a package of has no `type`; one that init makes has.
    await project.bash(`npm install ${packed} && npx holdfast init --yes`);
    console.log(`init: ${seconds(began)} to install and write a project`);
    await project.bash('npx tsc --noEmit && npm test');
    for (const start of ['first', 'second']) {
      const started = performance.now();
      const dev = await startDev(project.folder);
      console.log(`init: ${start} start of npm run dev ready after ${seconds(started)}`);
      const ordered = performance.now();
      await orderGoesThrough(dev);
      console.log(`init: order placed, shipped, and its run completed on the dashboard after ${seconds(ordered)}`);
      await dev.stop();
    }
    await project.bash('npx holdfast init --yes | grep "nothing was changed"');
    console.log(`init: the first hour took ${seconds(began)}`);
  } finally {
    rmSync(dataFolder(join(project.folder, '.holdfast')), { recursive: true, force: true });
    project.dispose();
  }
}

/** What the projects share. */
interface Ground {
  /** With all that any of them needs installed: folders below find it. */
  readonly above: EmptyProject;
  readonly postgres: PostgresServer;
  readonly redis: RedisServer;
}

async function otherProjects(projects: readonly ProjectChoices[]): Promise<void> {
  const began = performance.now();
  const above = createEmptyProject(PRISMA_ENV);
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  try {
    const parts = projects.flatMap(partsOf);
    const before = JSON.stringify({ name: 'above', type: 'module', dependencies: { holdfast: `file:${packed}` } });
    above.write('package.json', extendManifest({ before, name: 'above', holdfast: '0.0.0', parts }));
    const create = fileURLToPath(new URL('../packages/create-holdfast', import.meta.url));
    await above.bash(`npm install --ignore-scripts ./$(npm pack --silent ${create})`);
    console.log(`init: ${seconds(began)} to install what ${projects.length} projects need`);
    const left = projects.map((choices, index) => ({ choices, index }));
    const lane = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift())
        await tryProject({ above, postgres, redis }, next.choices, next.index);
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    console.log(`init: ${projects.length} projects took ${seconds(began)}`);
  } finally {
    await Promise.all([postgres.dispose(), redis.dispose()]);
    above.dispose();
  }
}

/** With a database of its own on the common servers; `firstHour` has seen one that dev brings. */
async function tryProject({ above, postgres, redis }: Ground, choices: ProjectChoices, index: number): Promise<void> {
  const began = performance.now();
  const name = nameOf(choices);
  const folder = join(above.folder, name);
  const database = `project_${index}`;
  mkdirSync(folder);
  const flags = `--framework ${choices.framework} --orm ${choices.orm} --broker ${choices.broker}`;
  await above.output(`cd ${name} && npx create-holdfast --yes --no-install ${flags}`);
  // What npm runs after it has installed, first.
  await above.output(`cd ${name} && npm run --if-present postinstall && npm run typecheck && npm test`);
  const tested = performance.now();
  await withClient(postgres.adminUrl, (client) => client.query(`CREATE DATABASE ${database}`));
  const url = new URL(postgres.adminUrl);
  url.pathname = `/${database}`;
  const dev = await startDev(folder, {
    DATABASE_URL: url.href,
    ...(choices.broker === 'redis' ? { REDIS_URL: `${redis.url}/${index % REDIS_DATABASES}` } : {}),
  });
  await orderGoesThrough(dev);
  const ordered = performance.now();
  await dev.stop();
  rmSync(folder, { recursive: true, force: true });
  console.log(
    `init: ${name} compiles and passes its test after ${seconds(began, tested)}, its order is completed after ${seconds(tested, ordered)}`,
  );
}

function seconds(since: number, until = performance.now()): string {
  return `${((until - since) / 1_000).toFixed(1)} s`;
}

/**
 * The first hour of a stranger, done in empty folders with the packed package: `holdfast init`, `npm run dev`, an order, its run on the
 * dashboard; then combinations that init offers compile, pass their own test, and take an order: as many as it takes to have each choice
 * once, or with --all every one, which takes ten minutes.
 *
 *   node .ci/bootstrap.mjs .ci/init.ts holdfast-x.y.z.tgz [--all]
 *
 * Times are printed and not judged.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataFolder } from '../src/cli/dev/home.ts';
import { BROKERS, FRAMEWORKS, ORMS, partsOf, type ProjectChoices } from '../src/cli/init/parts.ts';
import { freePort } from '../src/servers/machine.ts';
import { createEmptyProject, type EmptyProject } from './empty-project.ts';

const LONGEST_MS = 180_000;
const [tarball, all] = process.argv.slice(2);
if (tarball === undefined) throw new Error('Give the path of the packed package.');
const packed = resolve(tarball);
await firstHour();
await create();
await combinations(all === '--all' ? every() : eachChoiceOnce());

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
    dispose(project, project.folder);
  }
}

/** `npm create holdfast`. */
async function create(): Promise<void> {
  const project = createEmptyProject();
  try {
    const own = fileURLToPath(new URL('../packages/create-holdfast', import.meta.url));
    await project.bash(`npm install ${packed} ./$(npm pack --silent ${own})`);
    await project.bash('npx create-holdfast --yes --no-install --framework hono && grep hono package.json');
  } finally {
    project.dispose();
  }
}

function every(): readonly ProjectChoices[] {
  return FRAMEWORKS.flatMap((framework) =>
    ORMS.flatMap((orm) => BROKERS.map((broker): ProjectChoices => ({ framework, orm, broker }))),
  );
}

/** All of them are compiled by the tests, so a part that does not fit another one is found there. */
function eachChoiceOnce(): readonly ProjectChoices[] {
  const most = Math.max(FRAMEWORKS.length, ORMS.length, BROKERS.length);
  const at = <T>(choices: readonly T[], index: number): T => choices[index % choices.length] as T;
  return Array.from({ length: most }, (_, index) => ({
    framework: at(FRAMEWORKS, index),
    orm: at(ORMS, index),
    broker: at(BROKERS, index),
  }));
}

/** In folders that share what is installed above them. */
async function combinations(choices: readonly ProjectChoices[]): Promise<void> {
  const project = createEmptyProject();
  const needed = Object.assign(
    {},
    ...choices.flatMap(partsOf).flatMap((part) => [part.dependencies, part.devDependencies]),
  ) as Record<string, string>;
  const packages = Object.entries(needed).map(([name, version]) => `'${name}@${version}'`);
  try {
    await project.bash(`npm install ${packed} ${packages.join(' ')}`);
    // One after the other: they share ports.
    for (const { framework, orm, broker } of choices) {
      const name = `${framework}-${orm}-${broker}`;
      const folder = join(project.folder, name);
      mkdirSync(folder);
      const flags = `--framework ${framework} --orm ${orm} --broker ${broker}`;
      // oxlint-disable-next-line no-await-in-loop
      await project.bash(
        `cd ${name} && npx holdfast init --yes --no-install ${flags} && npx tsc --noEmit && npx vitest run`,
      );
      // oxlint-disable-next-line no-await-in-loop
      const dev = await startDev(folder);
      // oxlint-disable-next-line no-await-in-loop
      await orderGoesThrough(dev);
      // oxlint-disable-next-line no-await-in-loop
      await dev.stop();
      dispose(null, folder);
      console.log(`init: ${name} compiles, passes its test and takes an order`);
    }
  } finally {
    project.dispose();
  }
}

interface Dev {
  /** Of the service. */
  readonly port: number;
  readonly dashboard: string;
  /** Resolves when the line has been printed. */
  printed(line: RegExp): Promise<string>;
  /** As Ctrl-C does it; rejects when something is left in its way. */
  stop(): Promise<void>;
}

/** Rejects, with what it printed, when it does not come to where it takes orders. */
async function startDev(folder: string): Promise<Dev> {
  const port = await freePort();
  const { DATABASE_URL: _database, REDIS_URL: _redis, ...env } = process.env;
  const child = spawn('npm', ['run', 'dev'], {
    cwd: folder,
    env: { ...env, PORT: String(port), NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const exit = once(child, 'close');
  process.once('exit', () => child.kill('SIGTERM'));
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (more: string) => (text += more));
  const printed = (line: RegExp): Promise<string> =>
    until(
      () => line.exec(text)?.[0],
      () => `${String(line)} in what npm run dev printed:\n${text}`,
    );
  const stop = async (): Promise<void> => {
    process.kill(-(child.pid ?? 0), 'SIGINT');
    await exit;
    await printed(/ended; the data are kept/);
  };
  try {
    await printed(/orders are taken at/);
    const head = await printed(/dashboard {2}http\S+/);
    return { port, dashboard: head.replace(/^\S+ +/, ''), printed, stop };
  } catch (error) {
    process.kill(-(child.pid ?? 0), 'SIGTERM');
    await exit;
    throw error;
  }
}

async function orderGoesThrough(dev: Dev): Promise<void> {
  const { port, dashboard } = dev;
  const answer = await fetch(`http://127.0.0.1:${port}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ item: 'chair', amount: 42 }),
  });
  const { orderId } = (await answer.json()) as { readonly orderId: string };
  await until(
    async () => {
      const runs = await fetch(`${dashboard}api/runs?key=${orderId}`);
      const { items = [] } = (await runs.json()) as { readonly items?: readonly { readonly status: string }[] };
      return items[0]?.status === 'completed' ? true : undefined;
    },
    () => `the run of ${orderId} to be completed on the dashboard`,
  );
  // The row of the consumer.
  await dev.printed(/shipping .* handled order\.accepted/);
}

async function until<T>(look: () => Promise<T | undefined> | T | undefined, what: () => string): Promise<T> {
  const deadline = performance.now() + LONGEST_MS;
  for (;;) {
    // Again and again.
    // oxlint-disable-next-line no-await-in-loop
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${what()}`);
    // oxlint-disable-next-line no-await-in-loop
    await new Promise((again) => setTimeout(again, 50));
  }
}

/** With the data of its server, which may lie elsewhere. */
function dispose(project: EmptyProject | null, folder: string): void {
  rmSync(dataFolder(join(folder, '.holdfast')), { recursive: true, force: true });
  project?.dispose();
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`;
}

/** `holdfast init` in folders of its own: every combination compiles, one is tested and run. */
import { execFile, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { dataFolder } from '../../src/cli/dev/home.ts';
import { partsOf } from '../../src/cli/init/parts.ts';
import { filesOf } from '../../src/cli/init/plan.ts';
import { ROOT } from '../house/source-files.ts';
import { everyProject, packagesOf } from '../support/first-projects.ts';
import { PRISMA_ENV } from '../support/prisma-client.ts';
import { holdfast, holdfastDev, installedSagas, type DevRun } from './process.ts';

/** Below the folder in which Holdfast is installed. */
let root: string;
let run: DevRun | undefined;
const data: string[] = [];

beforeAll(async () => {
  await installedSagas();
  root = mkdtempSync(join(inject('commandLine'), 'init-'));
  mkdirSync(join(root, 'node_modules'));
  symlinkSync(join(inject('commandLine'), 'node_modules', 'holdfast'), join(root, 'node_modules', 'holdfast'));
  for (const name of Object.keys(packagesOf(everyProject()))) {
    mkdirSync(dirname(join(root, 'node_modules', name)), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), join(root, 'node_modules', name));
  }
});
afterEach(async () => {
  run?.child.kill('SIGKILL');
  await run?.exit;
});
afterAll(() => {
  for (const each of data) rmSync(each, { recursive: true, force: true });
});

function folder(name: string, files: Readonly<Record<string, string>> = {}): string {
  const made = join(root, name);
  mkdirSync(made);
  for (const [path, text] of Object.entries(files)) writeFileSync(join(made, path), text);
  return made;
}

const init = async (cwd: string, ...flags: string[]) => {
  const { code, stdout } = await holdfast(['init', '--json', '--no-install', ...flags], { cwd });
  return { code, answer: JSON.parse(stdout) as Record<string, unknown> };
};
const git = (cwd: string, ...args: string[]) =>
  spawnSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { cwd });

describe('holdfast init', () => {
  it('writes a project, and changes nothing the second time, whatever was made of it', async () => {
    const cwd = folder('twice');
    const first = await init(cwd, '--yes', '--framework', 'hono', '--broker', 'redis');
    expect(first).toMatchObject({
      code: 0,
      answer: { framework: 'hono', orm: 'pg', broker: 'redis', left: [], installed: false },
    });
    expect(first.answer['written']).toEqual(
      expect.arrayContaining(['package.json', 'src/sagas/place-order.ts', 'test/place-order.test.ts']),
    );
    writeFileSync(join(cwd, 'src/server.ts'), '// mine');
    const before = readFileSync(join(cwd, 'package.json'), 'utf8');
    expect(await init(cwd, '--yes')).toMatchObject({
      answer: { framework: 'hono', orm: 'pg', broker: 'redis', written: [], left: ['src/server.ts'] },
    });
    expect(readFileSync(join(cwd, 'package.json'), 'utf8')).toBe(before);
    expect(readFileSync(join(cwd, 'src/server.ts'), 'utf8')).toBe('// mine');
    expect((await init(cwd, '--force')).answer).toMatchObject({ written: ['src/server.ts'] });
  });

  it('changes nothing that is there without being told to, and shows what it would', async () => {
    const cwd = folder('asked', { 'package.json': '{ "name": "mine" }' });
    expect(await init(cwd)).toMatchObject({ code: 2, answer: { error: { code: 'HF_CONFIG' } } });
    expect(readdirSync(cwd)).toEqual(['package.json']);
    const { stdout, code } = await holdfast(['init', '--yes', '--no-install'], { cwd });
    expect({ code, shown: /^\+ .*"holdfast": "\^/m.test(stdout) }).toEqual({ code: 0, shown: true });
  });

  it.each([
    ['npm', 'npm run test'],
    ['pnpm', 'pnpm test'],
    ['yarn', 'yarn test'],
    ['bun', 'bun run test'],
  ])('says how its scripts are run by %s', async (manager, words) => {
    const cwd = folder(manager);
    const { stdout } = await holdfast(['init', '--yes', '--no-install', '--package-manager', manager], { cwd });
    expect(stdout).toContain(`  ${manager} install`);
    expect(stdout).toContain(`  ${words} `);
  });

  it('refuses to mix its changes with those that are not committed', async () => {
    const cwd = folder('dirty', { 'package.json': '{}' });
    git(cwd, 'init', '-q');
    git(cwd, 'add', '.');
    git(cwd, 'commit', '-qm', 'first');
    writeFileSync(join(cwd, 'package.json'), '{ "name": "mine" }');
    expect(await init(cwd, '--yes')).toMatchObject({
      code: 2,
      answer: { error: { message: expect.stringMatching(/package\.json.*not committed/) } },
    });
    expect(existsSync(join(cwd, 'src'))).toBe(false);
    git(cwd, 'commit', '-qam', 'second');
    expect(await init(cwd, '--yes')).toMatchObject({ code: 0 });
  });

  it.each([
    [['--framework', 'fastfy'], {}, /Did you mean 'fastify'/],
    [['--orm', 'nothing'], {}, /pg, kysely, drizzle/],
    [[], { 'holdfast.config.js': '' }, /holdfast dev runs it/],
    [[], { 'package.json': '{' }, /Mend it first/],
  ])('refuses %j with %j', async (flags, files, advice) => {
    const cwd = mkdtempSync(join(root, 'refused-'));
    for (const [path, text] of Object.entries(files)) writeFileSync(join(cwd, path), text);
    expect(await init(cwd, '--yes', ...flags)).toMatchObject({
      code: 2,
      answer: { error: { code: 'HF_CONFIG', advice: expect.stringMatching(advice) } },
    });
  });
});

describe('what it writes', () => {
  it('compiles in every combination', async () => {
    const all = folder('all');
    const compilerOptions = {};
    let generated: string | null = null;
    for (const { framework, orm, broker } of everyProject()) {
      const cwd = join(all, `${framework}-${orm}-${broker}`);
      const files = filesOf(partsOf({ framework, orm, broker }));
      for (const [path, text] of files) {
        const file = join(cwd, path);
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, text);
      }
      const tsconfig = JSON.parse(files.get('tsconfig.json') ?? '') as { readonly compilerOptions: object };
      Object.assign(compilerOptions, tsconfig.compilerOptions);
      if (orm !== 'prisma') continue;
      // The client is the same in all of them.
      if (generated === null) await generatePrisma(cwd);
      else symlinkSync(generated, join(cwd, 'src', 'generated'));
      generated ??= join(cwd, 'src', 'generated');
    }
    const include = ['*/src', '*/test', '*/*.config.ts'];
    writeFileSync(join(all, 'tsconfig.json'), JSON.stringify({ compilerOptions, include }));
    writeFileSync(join(all, 'package.json'), '{ "type": "module" }');
    const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const compiled = await promisify(execFile)(process.execPath, [tsc, '-p', all]).catch(
      (error: unknown) => error as { readonly stdout: string },
    );
    expect(compiled.stdout).toBe('');
  });

  it('passes its own test, takes an order and ships it', async () => {
    const cwd = folder('run');
    await init(cwd, '--yes', '--framework', 'fastify', '--orm', 'drizzle', '--broker', 'redis');
    const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
    // Of its own, and not a part of this run.
    const { VITEST_WORKER_ID: _one, VITEST_POOL_ID: _two, VITEST: _three, ...env } = process.env;
    const tested = await promisify(execFile)(process.execPath, [vitest, 'run', '--root', cwd], { cwd, env });
    expect(tested.stdout).toMatch(/3 passed/);

    data.push(dataFolder(join(cwd, '.holdfast')));
    const port = await freePort();
    const tsx = join(ROOT, 'node_modules', 'tsx', 'dist', 'cli.mjs');
    run = await holdfastDev(['--', process.execPath, tsx, 'src/server.ts'], { cwd, env: { PORT: String(port) } });
    await run.event({ event: 'printed', by: 'app', line: /orders are taken/ });
    const order = async (amount: number, key: string = randomUUID()) => {
      const answer = await fetch(`http://127.0.0.1:${port}/orders`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify({ item: 'chair', amount }),
      });
      return { status: answer.status, ...((await answer.json()) as { readonly orderId: string }) };
    };
    const good = await order(42, 'o-1');
    expect(good.status).toBe(202);
    expect(await order(42, 'o-1')).toEqual(good);
    await run.event({ event: 'happened', what: 'handled order.accepted', key: good.orderId });
    await run.event({ event: 'happened', what: 'completed', key: good.orderId });
    const refused = await order(4200);
    await run.event({ event: 'happened', what: 'compensated', key: refused.orderId });
    const state = await fetch(`http://127.0.0.1:${port}/orders/${refused.orderId}`);
    expect(await state.json()).toEqual({ orderId: refused.orderId, state: 'rejected' });
    expect((await order(-1)).status).toBe(400);
  });
});

async function generatePrisma(cwd: string): Promise<void> {
  const cli = join(ROOT, 'node_modules', 'prisma', 'build', 'index.js');
  const env = { ...process.env, ...PRISMA_ENV };
  await promisify(execFile)(process.execPath, [cli, 'generate'], { cwd, env });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

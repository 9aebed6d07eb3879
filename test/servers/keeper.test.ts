/**
 * What watches over servers, when it is told to go: it takes with it what is still registered, and holds nobody up.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { isAlive } from '../../src/servers/process-identity.ts';
import { eventually } from '../support/eventually.ts';

interface Told {
  readonly folder: string;
  readonly sleeper: number;
  readonly keeper: number;
  /** A process that was registered by `what`. */
  readonly late: number;
  /** Those of its children that lived at its end. */
  readonly children: readonly number[];
}

const moduleOf = (name: string): string =>
  JSON.stringify(new URL(`../../src/servers/${name}.ts`, import.meta.url).href);

/** In a process of its own, because each has one keeper: registers a process and a folder, does `what`, and ends. */
function withKeeper(what: string): Told {
  const script = `
    const { dismissKeeper, keep, release } = await import(${moduleOf('keeper')});
    const { isAlive } = await import(${moduleOf('process-identity')});
    const { spawn, spawnSync } = await import('node:child_process');
    const { mkdtempSync } = await import('node:fs');
    const { tmpdir } = await import('node:os');
    const childrenNow = () => spawnSync('pgrep', ['-P', String(process.pid)], { encoding: 'utf8' }).stdout.trim().split('\\n').map(Number);
    const before = childrenNow();
    const newChildren = () => childrenNow().filter((pid) => !before.includes(pid) && isAlive(pid));
    const keepSleeper = () => {
      const { pid } = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' }).on('exit', () => {});
      keep({ kind: 'process', id: String(pid), signal: 'SIGKILL' });
      return pid;
    };
    const folder = mkdtempSync(tmpdir() + '/holdfast-keeper-');
    keep({ kind: 'folder', id: folder });
    const [keeper] = newChildren();
    const sleeper = keepSleeper();
    let late;
    ${what}
    console.log(JSON.stringify({ folder, sleeper, keeper, late, children: newChildren() }));
    process.exit();`;
  return JSON.parse(
    execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { encoding: 'utf8' }),
  ) as Told;
}

it('ends what is registered before it says that it is gone, and nobody else comes for what is released later', () => {
  const { folder, sleeper, keeper, children } = withKeeper(`
    await dismissKeeper();
    release({ kind: 'process', id: String(sleeper), signal: 'SIGKILL' });`);
  expect([sleeper, keeper].filter(isAlive)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
  expect(children).toEqual([]);
});

it('is waited for no longer than that, and ends what is registered all the same', async () => {
  const { folder, sleeper, keeper, children } = withKeeper(`
    process.kill(keeper, 'SIGSTOP');
    await dismissKeeper(20);`);
  expect(children).toEqual(expect.arrayContaining([sleeper, keeper]));
  expect(existsSync(folder)).toBe(true);
  process.kill(keeper, 'SIGCONT');
  await eventually('all of it to be gone', async () => ![sleeper, keeper].some(isAlive) && !existsSync(folder));
});

it('watches over what is registered after it was dismissed', async () => {
  const { keeper, late } = withKeeper(`
    await dismissKeeper();
    late = keepSleeper();`);
  expect(isAlive(keeper)).toBe(false);
  await eventually('what came later to be gone', async () => !isAlive(late));
});

/**
 * A copy of the project in which mistakes can be planted: the tree that somebody works in is never touched.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from '../house/source-files.ts';
import { plantedIn, type Mutant } from './mutant.ts';

/** What became of a run of tests. */
export type TestRun = 'passed' | 'failed' | 'not loaded' | 'too long';

export interface Workspace {
  /** Runs the tests as the project is. */
  run(tests: readonly string[]): Promise<{ readonly outcome: TestRun; readonly output: string }>;
  /** Runs the mutant's tests with the mistake in place, which is gone afterwards. */
  runWith(mutant: Mutant): Promise<{ readonly outcome: TestRun; readonly output: string }>;
  remove(): void;
}

export interface WorkspaceOptions {
  readonly env: Readonly<Record<string, string>>;
  /** Tests that hang have noticed something as well. */
  readonly timeoutMs: number;
}

/** All files that git knows or would know, as they are now. */
export function createWorkspace({ env, timeoutMs }: WorkspaceOptions): Workspace {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-mutants-'));
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT });
  for (const path of listed.toString().split('\0').filter(Boolean)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(ROOT, path), join(folder, path), { force: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  const run = (tests: readonly string[]) => runTests({ folder, tests, env, timeoutMs });
  return {
    run,
    async runWith(mutant) {
      const path = join(folder, mutant.file);
      const before = readFileSync(path, 'utf8');
      writeFileSync(path, plantedIn(before, mutant));
      try {
        return await run(mutant.tests);
      } finally {
        writeFileSync(path, before);
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

interface TestsToRun extends WorkspaceOptions {
  readonly folder: string;
  readonly tests: readonly string[];
}

function runTests({ folder, tests, env, timeoutMs }: TestsToRun): ReturnType<Workspace['run']> {
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  // One worker: several workspaces run beside each other.
  const args = [vitest, 'run', '--bail=1', '--maxWorkers=1', '--reporter=dot', '--no-color', ...tests];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: what the tests have started ends with them.
      detached: true,
    });
    let output = '';
    let late = false;
    const keep = (data: Buffer): void => void (output = (output + data.toString()).slice(-20_000));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => {
      late = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, timeoutMs);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ outcome: late ? 'too long' : outcomeOf(code, output), output });
    });
  });
}

/** A file that cannot be loaded has found out nothing: the mutant is not one. */
function outcomeOf(code: number | null, output: string): TestRun {
  if (code === 0) return 'passed';
  return /PARSE_ERROR|Transform failed|SyntaxError: |No test files found/.test(output) ? 'not loaded' : 'failed';
}

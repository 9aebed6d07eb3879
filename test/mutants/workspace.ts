/**
 * Where the tests run that must notice a planted mistake: a copy of the project.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../house/source-files.ts';
import type { Mutant } from './mutant.ts';
import { copyProject } from './project-copy.ts';

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

export function createWorkspace({ env, timeoutMs }: WorkspaceOptions): Workspace {
  const copy = copyProject();
  const run = (tests: readonly string[]) => runTests({ folder: copy.folder, tests, env, timeoutMs });
  return {
    run,
    runWith: (mutant) => copy.during(mutant, () => run(mutant.tests)),
    remove: () => copy.remove(),
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
  // A test may fail with a SyntaxError of its own, of JSON say.
  if (/Failed Tests/.test(output)) return 'failed';
  return /PARSE_ERROR|Transform failed|SyntaxError: |No test files found/.test(output) ? 'not loaded' : 'failed';
}

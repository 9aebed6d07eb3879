/**
 * `npm run demo -- --keep` as whoever sits before it has it: what it says, what is typed, and Ctrl-C.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface KeptDemo {
  /** The audit, once it is there. Rejects when the demo ends before. */
  audit(): Promise<Readonly<Record<string, number | boolean | string>>>;
  /** Resolves with what the pattern found in what the demo says beside the audit. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
  type(line: string): void;
  /** Ctrl-C reaches every process of the terminal. Resolves with the exit code. */
  interrupt(): Promise<number | null>;
  /** Ends whatever is left of it. */
  dispose(): Promise<void>;
}

const BOOTSTRAP = fileURLToPath(new URL('../../.ci/bootstrap.mjs', import.meta.url));
const LOOK_EVERY_MS = 50;

export function startKeptDemo(...args: readonly string[]): KeptDemo {
  const child = spawn(process.execPath, [BOOTSTRAP, 'demo/main.ts', '--keep', '--json', ...args], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own, as a terminal makes it.
    detached: true,
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  let ended = false;
  const exit = new Promise<number | null>((resolve) =>
    child.once('exit', (code) => {
      ended = true;
      resolve(code);
    }),
  );

  async function reach<T>(look: () => T | null): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== null) return found;
      if (ended) throw new Error(`The demo has ended.\n${stderr}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  return {
    async audit() {
      const line = await reach(() => /^\{.*\}$/m.exec(stdout));
      return JSON.parse(line[0]) as Readonly<Record<string, number | boolean | string>>;
    },
    says: (pattern) => reach(() => pattern.exec(stderr)),
    type(line) {
      child.stdin.write(`${line}\n`);
    },
    async interrupt() {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
      return exit;
    },
    async dispose() {
      if (ended || child.pid === undefined) return;
      process.kill(-child.pid, 'SIGTERM');
      await exit;
    },
  };
}

/**
 * An empty project in a temporary folder, for what is done with the packed package in it as its users would.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const COMMAND_TIMEOUT_MS = 180_000;
const QUIET = {
  npm_config_audit: 'false',
  npm_config_fund: 'false',
  npm_config_loglevel: 'error',
  npm_config_prefer_offline: 'true',
};

export interface EmptyProject {
  readonly folder: string;
  write(name: string, text: string): void;
  /** Runs the lines in bash and shows them; what they leave in the background is ended after them. Rejects unless they succeed. */
  bash(script: string): Promise<void>;
  /** Starts the lines in bash, and resolves when their output matches. They go on until `end`. */
  background(script: string, until: RegExp): Promise<void>;
  /** The same as `bash`, hidden. Returns what it writes to stdout. */
  output(script: string): Promise<string>;
  /** As Ctrl-C does it: ends what goes on in the background. */
  end(): Promise<void>;
  dispose(): void;
}

export function createEmptyProject(env: NodeJS.ProcessEnv = {}): EmptyProject {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-project-'));
  const run = async (script: string, stdout: 'inherit' | 'pipe'): Promise<string> => {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: folder,
      env: { ...process.env, ...QUIET, ...env },
      stdio: ['ignore', stdout, 'inherit'],
      detached: true,
    });
    const endGroup = (): void => {
      try {
        process.kill(-(child.pid ?? 0), 'SIGKILL');
      } catch {
        // The whole group has ended.
      }
    };
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    const closed = once(child, 'close');
    const timer = setTimeout(endGroup, COMMAND_TIMEOUT_MS);
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    clearTimeout(timer);
    endGroup();
    await closed;
    if (code !== 0) throw new Error(`It ended with ${signal ?? `exit code ${code}`}: ${script}\n${text}`);
    return text;
  };
  const others: { readonly end: () => Promise<void> }[] = [];
  const background = async (script: string, until: RegExp): Promise<void> => {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: folder,
      env: { ...process.env, ...QUIET, ...env, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const closed = once(child, 'close');
    const signal = (name: NodeJS.Signals): void => {
      try {
        process.kill(-(child.pid ?? 0), name);
      } catch {
        // The whole group has ended.
      }
    };
    process.once('exit', () => signal('SIGTERM'));
    others.push({
      async end() {
        signal('SIGINT');
        await closed;
      },
    });
    let text = '';
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${until} is not in:\n${text}`)), COMMAND_TIMEOUT_MS);
      const heard = (piece: string): void => {
        text += piece;
        if (!until.test(text)) return;
        clearTimeout(timer);
        resolve();
      };
      for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', heard);
      void closed.then(() => reject(new Error(`It ended: ${script}\n${text}`)));
    });
  };
  return {
    folder,
    background,
    async end() {
      await Promise.all(others.map((other) => other.end()));
    },
    write(name, text) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), `${text}\n`);
    },
    async bash(script) {
      console.log(script.replaceAll(/^/gm, '$ '));
      await run(script, 'inherit');
    },
    output: (script) => run(script, 'pipe'),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** `name@version` of tools, in the very versions that this project is developed with. */
export function toolsOf(...names: readonly string[]): string {
  const { packages } = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly version: string }>>;
  };
  return names
    .map((name) => {
      const locked = packages[`node_modules/${name}`];
      if (locked === undefined) throw new Error(`${name} is not in package-lock.json.`);
      return `'${name}@${locked.version}'`;
    })
    .join(' ');
}

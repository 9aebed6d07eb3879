/**
 * The command line as a child process, as users have it. Used by the tests of this folder.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const LOADER = import.meta.resolve('tsx');

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

function start(args: readonly string[], { env = {}, cwd }: RunOptions): ChildProcess {
  // Nothing of this machine's own settings.
  const { PATH, HOME, TMPDIR } = process.env;
  const given = Object.fromEntries(
    Object.entries({ PATH, HOME, TMPDIR, ...env }).filter(([, value]) => value !== undefined),
  );
  return spawn(process.execPath, ['--import', LOADER, MAIN, ...args], {
    env: given,
    cwd: cwd ?? '/',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function holdfast(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = start(args, options);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await exitOf(child);
  return { code, stdout, stderr };
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string; readonly level: string };

export interface Daemon {
  readonly child: ChildProcess;
  readonly lines: readonly LogLine[];
  /** The first line, past or to come, that begins so; rejects when the process ends without it. */
  line(begins: string): Promise<LogLine>;
  /** Address of its pages. */
  url(): Promise<string>;
  readonly exit: Promise<number | null>;
  stderr(): string;
}

export function daemon(args: readonly string[], options: RunOptions = {}): Daemon {
  const child = start(['relay', '--http-port', '0', '--json', ...args], options);
  const lines: LogLine[] = [];
  const waiting = new Set<() => void>();
  let rest = '';
  let errors = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts.map((part) => JSON.parse(part) as LogLine));
    for (const look of waiting) look();
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const exit = exitOf(child);
  const self: Daemon = {
    child,
    lines,
    exit,
    stderr: () => errors,
    line: (begins) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = lines.find(({ msg }) => msg.startsWith(begins));
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
        void exit.then((code) =>
          reject(new Error(`ended with ${code}; no line '${begins}' in ${JSON.stringify(lines)} ${errors}`)),
        );
      }),
    url: async () => (await self.line('listening'))['url'] as string,
  };
  return self;
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code));
  });
}

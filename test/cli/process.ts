/**
 * The command line as a child process, as users have it.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { inject } from 'vitest';
import { eventually } from '../support/eventually.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Compiled as it is shipped, once for all test files: that starts in a fraction of the time that a loader takes. */
let compiled: Promise<string> | undefined;

async function compile(): Promise<string> {
  // A package as npm puts it there: what loads TypeScript of users takes it as it is.
  const folder = join(inject('commandLine'), 'node_modules', 'holdfast');
  const dist = join(folder, 'dist');
  try {
    mkdirSync(join(folder, '..'));
    mkdirSync(folder);
  } catch {
    // Another test file was first.
    await eventually('the command line to be compiled', () => Promise.resolve(existsSync(dist)));
    return join(dist, 'cli', 'main.js');
  }
  for (const name of ['node_modules', 'migrations', 'templates', 'package.json'])
    symlinkSync(join(ROOT, name), join(folder, name));
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const half = join(folder, 'half');
  await promisify(execFile)(process.execPath, [tsc, '-p', join(ROOT, 'tsconfig.build.json'), '--outDir', half]);
  renameSync(half, dist);
  return join(dist, 'cli', 'main.js');
}

/**
 * The folder test/cli/sagas as a project of its own that has Holdfast installed, so that loading it costs what it costs users: not the
 * time to compile all of src.
 */
export async function installedSagas(): Promise<string> {
  await (compiled ??= compile());
  const folder = join(inject('commandLine'), 'sagas');
  if (existsSync(folder)) return folder;
  symlinkSync(join(ROOT, 'node_modules', 'zod'), join(inject('commandLine'), 'node_modules', 'zod'));
  mkdirSync(folder);
  const from = join(ROOT, 'test', 'cli', 'sagas');
  for (const file of readdirSync(from)) {
    const text = readFileSync(join(from, file), 'utf8');
    writeFileSync(join(folder, file), text.replaceAll(/'(\.\.\/)+src\/[^']*'/g, "'holdfast'"));
  }
  return folder;
}

export interface RunOptions {
  /** Of `holdfast`: for its standard input. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Below a shell that waits for it, as npx starts it; `child` is then the shell. */
  readonly shell?: boolean;
}

async function start(
  args: readonly string[],
  { env = {}, cwd, input, shell = false }: RunOptions,
): Promise<ChildProcess> {
  const main = await (compiled ??= compile());
  // Nothing of this machine's own settings.
  const { PATH, HOME, TMPDIR } = process.env;
  const given = Object.fromEntries(
    Object.entries({ PATH, HOME, TMPDIR, ...env }).filter(([, value]) => value !== undefined),
  );
  const command = [process.execPath, main, ...args];
  const [program = '', ...rest] = shell ? ['sh', '-c', '"$@"; exit $?', 'sh', ...command] : command;
  const child = spawn(program, rest, {
    env: given,
    cwd: cwd ?? '/',
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  child.stdin?.end(input);
  return child;
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export async function holdfast(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = await start(args, options);
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

export interface DaemonOptions extends RunOptions {
  /** Default 'relay'. */
  readonly verb?: 'relay' | 'worker' | 'start' | 'dashboard';
}

export async function daemon(args: readonly string[], options: DaemonOptions = {}): Promise<Daemon> {
  const verb = options.verb ?? 'relay';
  const port = verb === 'dashboard' ? '--port' : '--http-port';
  const child = await start([verb, port, '0', '--json', ...args], options);
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

/** One line of `holdfast dev --json`. */
export type DevEvent = Readonly<Record<string, unknown>> & { readonly event: string };

export interface DevRun {
  readonly child: ChildProcess;
  readonly events: readonly DevEvent[];
  readonly exit: Promise<number | null>;
  /** The first event from `from` on, past or to come, that has all of this; rejects when the process ends without it. */
  event(wanted: Readonly<Record<string, unknown>>, from?: number): Promise<DevEvent>;
}

export async function holdfastDev(args: readonly string[], options: RunOptions): Promise<DevRun> {
  const child = await start(['dev', '--json', ...args], options);
  const events: DevEvent[] = [];
  const waiting = new Set<() => void>();
  let errors = '';
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => {
      events.push(JSON.parse(line) as DevEvent);
      for (const look of waiting) look();
    });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const exit = exitOf(child);
  return {
    child,
    events,
    exit,
    event: (wanted, from = 0) =>
      new Promise((resolve, reject) => {
        const fits = (event: DevEvent): boolean =>
          Object.entries(wanted).every(([name, value]) =>
            value instanceof RegExp ? value.test(String(event[name])) : event[name] === value,
          );
        const look = (): void => {
          const found = events.slice(from).find(fits);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
        void exit.then((code) => {
          const missing = Object.entries(wanted).map(([name, value]) => `${name} ${String(value)}`);
          reject(new Error(`ended with ${code} without ${missing.join(', ')}: ${JSON.stringify(events)} ${errors}`));
        });
      }),
  };
}

/** A folder that has Holdfast installed, with these files. */
export async function installedProject(files: Readonly<Record<string, string>>): Promise<string> {
  await installedSagas();
  const folder = mkdtempSync(join(inject('commandLine'), 'project-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code));
  });
}

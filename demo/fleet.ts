/**
 * The child processes: the four services, the workers and the relay. Starts them, counts what they report, kills them, stops them.
 * A child that ends without being told to fails the whole demo, with the last lines of its log.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Programs } from '../.ci/compile-programs.ts';
import { DIE_AT_WORK, type ProcessName } from './chaos.ts';
import type { Report, Settings } from './processes/link.ts';
import type { TroubleOrder } from './troubles.ts';

export interface Killed {
  readonly pid: number;
  /** It was in the middle of its work; where there was nothing to do, it was not. */
  readonly atWork: boolean;
}

export interface Fleet {
  /** Resolves when the process is at work. */
  start(name: ProcessName): Promise<void>;
  /** SIGKILL: no farewell; on request in the middle of its next piece of work. */
  kill(name: ProcessName, when?: 'now' | 'at work'): Promise<Killed>;
  /** SIGTERM: it finishes what it is at. */
  stop(name: ProcessName): Promise<void>;
  /** Has a process refuse something, or do it again. */
  trouble(name: ProcessName, order: TroubleOrder): void;
  /** Ends whatever is left. */
  dispose(): Promise<void>;
  /** Process ids of those that run. */
  pids(): readonly number[];
  /** What the children have counted so far; `killed` is counted here. */
  counted(what: string): number;
  /** Rejects when a child dies of itself. */
  readonly failure: Promise<never>;
}

const START_WITHIN_MS = 180_000;
const STOP_WITHIN_MS = 60_000;
/** Where there is so little to do that nobody dies of it. */
const WORK_WITHIN_MS = 3_000;
const LOG_LINES = 15;

interface Child {
  readonly process: ChildProcess;
  readonly exited: Promise<unknown>;
  /** Set before we end it. */
  expected: boolean;
}

/** What the processes run, compiled: one that was killed is back sooner. */
export const PROGRAMS = ['relay', 'worker', 'service'].map((name) =>
  fileURLToPath(new URL(`processes/${name}.ts`, import.meta.url)),
);

export interface FleetOptions {
  /** Is told of each alert, in one sentence. */
  readonly onAlert?: (text: string) => void;
  /** A folder in which each process has a file, over all its lives, with what it logs. */
  readonly logs?: string | undefined;
}

export function launchFleet(settings: Settings, programs: Programs, options: FleetOptions = {}): Fleet {
  const { onAlert = () => undefined, logs } = options;
  const children = new Map<ProcessName, Child>();
  const counts = new Map<string, number>();
  let failAll: (error: Error) => void;
  const failure = new Promise<never>((_, reject) => {
    failAll = reject;
  });
  failure.catch(() => {});

  function count(what: string, by: number): void {
    counts.set(what, (counts.get(what) ?? 0) + by);
  }

  function launch(name: ProcessName): Promise<void> {
    const script = /^(relay|worker)\b/.exec(name)?.[1] ?? 'service';
    const child = spawn(process.execPath, [programs.paths[`${script}.ts`] as string, name], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const entry: Child = { process: child, exited: once(child, 'exit'), expected: false };
    children.set(name, entry);

    const log: string[] = [];
    const keep = (text: Buffer): void => {
      if (logs !== undefined) appendFileSync(join(logs, `${name}.log`), text);
      log.push(...text.toString().split('\n').filter(Boolean));
      log.splice(0, log.length - LOG_LINES);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.send(settings);
    return new Promise((resolve, reject) => {
      const fail = (what: string): void => {
        const error = new Error([`The ${name} process ${what}.`, ...log.map((line) => `  ${line}`)].join('\n'));
        reject(error);
        failAll(error);
      };
      const timer = setTimeout(() => fail(`was not ready after ${START_WITHIN_MS / 1000} s`), START_WITHIN_MS);
      child.on('message', (message: Report) => {
        if (message.kind === 'ready') {
          clearTimeout(timer);
          resolve();
        } else if (message.kind === 'alert') {
          onAlert(message.text);
        } else {
          count(message.what, message.by);
        }
      });
      // 'close' comes after the last of its output, 'exit' may come before.
      child.on('close', (code, signal) => {
        clearTimeout(timer);
        if (!entry.expected) fail(`ended with ${signal ?? `exit code ${code}`}`);
      });
    });
  }

  async function end(name: ProcessName, how: 'SIGKILL' | 'SIGTERM' | typeof DIE_AT_WORK): Promise<Killed> {
    const child = children.get(name);
    if (child === undefined) return { pid: 0, atWork: false };
    let atWork = how === DIE_AT_WORK;
    children.delete(name);
    child.expected = true;
    if (how === DIE_AT_WORK) child.process.send(how);
    else child.process.kill(how);
    const patienceMs = how === DIE_AT_WORK ? WORK_WITHIN_MS : STOP_WITHIN_MS;
    const killer = setTimeout(() => {
      atWork = false;
      child.process.kill('SIGKILL');
    }, patienceMs);
    await child.exited;
    clearTimeout(killer);
    return { pid: child.process.pid ?? 0, atWork };
  }

  return {
    start: launch,
    async kill(name, when = 'now') {
      const killed = await end(name, when === 'now' ? 'SIGKILL' : DIE_AT_WORK);
      count('killed', 1);
      return killed;
    },
    async stop(name) {
      await end(name, 'SIGTERM');
    },
    trouble(name, order) {
      children.get(name)?.process.send(order);
    },
    dispose: async () => void (await Promise.all([...children.keys()].map((name) => end(name, 'SIGKILL')))),
    pids: () => [...children.values()].flatMap(({ process: { pid } }) => pid ?? []),
    counted: (what) => counts.get(what) ?? 0,
    failure,
  };
}

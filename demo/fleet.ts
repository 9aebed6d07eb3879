/**
 * The child processes: the four services, the workers and the relay, or those of a soak. Starts them, counts what they report, kills them,
 * stops them. A child that ends without being told to fails the whole demo, with the last lines of its log; a soak is told, and goes on.
 */
import { spawn, type ChildProcess, type Serializable } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Programs } from '../.ci/compile-programs.ts';
import { DIE_AT_WORK, type ProcessName } from './chaos.ts';
import type { Report, Settings } from './processes/link.ts';

export interface Killed {
  readonly pid: number;
  /** It was in the middle of its work; where there was nothing to do, it was not. */
  readonly atWork: boolean;
  /** It ended by what it was told, not by a SIGKILL that came after. */
  readonly obeyed: boolean;
}

export interface Fleet<Name extends string = ProcessName> {
  /** Resolves when the process is at work. */
  start(name: Name): Promise<void>;
  /** SIGKILL: no farewell; on request in the middle of its next piece of work. */
  kill(name: Name, when?: 'now' | 'at work'): Promise<Killed>;
  /** SIGTERM: it finishes what it is at. Resolves with whether it did so within a minute; if not, it was killed. */
  stop(name: Name): Promise<boolean>;
  /** SIGSTOP: it stands still in the middle of whatever it does; SIGCONT: it goes on. */
  signal(name: Name, signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** Sends a process what it listens to. Nothing happens when it does not run. */
  tell(name: Name, message: Serializable): void;
  /** Ends whatever is left. */
  dispose(): Promise<void>;
  /** Process ids of those that run. */
  pids(): readonly number[];
  pidOf(name: Name): number | undefined;
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

/** What the processes of the demo are started with. */
export function demoFleet(settings: Settings): FleetPlan<ProcessName> {
  return {
    settingsOf: () => settings,
    programOf: (name) => `${/^(relay|worker)\b/.exec(name)?.[1] ?? 'service'}.ts`,
  };
}

export interface FleetPlan<Name extends string> {
  /** What a process is sent when it is started. */
  settingsOf(name: Name): Serializable | object;
  /** The name of its program, such as `relay.ts`. */
  programOf(name: Name): string;
}

export interface FleetOptions<Name extends string = ProcessName> {
  /** Is told of each alert, in one sentence. */
  readonly onAlert?: (text: string) => void;
  /** Is told what else a process says. */
  readonly onTold?: (name: Name, said: unknown) => void;
  /** Is told of a process that ended without being told to, with the end of its log; without it, that fails the whole. */
  readonly onDeath?: (name: Name, what: string) => void;
  /** A folder in which each process has a file, over all its lives, with what it logs. */
  readonly logs?: string | undefined;
}

export function launchFleet<Name extends string>(
  plan: FleetPlan<Name>,
  programs: Programs,
  options: FleetOptions<Name> = {},
): Fleet<Name> {
  const { onAlert = () => undefined, onTold = () => undefined, onDeath, logs } = options;
  const children = new Map<Name, Child>();
  const counts = new Map<string, number>();
  let failAll: (error: Error) => void;
  const failure = new Promise<never>((_, reject) => {
    failAll = reject;
  });
  failure.catch(() => {});

  function count(what: string, by: number): void {
    counts.set(what, (counts.get(what) ?? 0) + by);
  }

  function launch(name: Name): Promise<void> {
    const child = spawn(process.execPath, [programs.paths[plan.programOf(name)] as string, name], {
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
    // One that has ended by then says why by its end.
    child.send(plan.settingsOf(name), () => {});
    child.on('error', () => {});
    return new Promise((resolve, reject) => {
      const fail = (what: string): void => {
        const error = new Error([`The ${name} process ${what}.`, ...log.map((line) => `  ${line}`)].join('\n'));
        if (children.get(name) === entry) children.delete(name);
        reject(error);
        if (onDeath === undefined) failAll(error);
        else onDeath(name, error.message);
      };
      const timer = setTimeout(() => {
        entry.expected = true;
        child.kill('SIGKILL');
        fail(`was not ready after ${START_WITHIN_MS / 1000} s`);
      }, START_WITHIN_MS);
      child.on('message', (message: Report) => {
        if (message.kind === 'ready') {
          clearTimeout(timer);
          resolve();
        } else if (message.kind === 'alert') {
          onAlert(message.text);
        } else if (message.kind === 'told') {
          onTold(name, message.said);
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

  async function end(name: Name, how: 'SIGKILL' | 'SIGTERM' | typeof DIE_AT_WORK): Promise<Killed> {
    const child = children.get(name);
    if (child === undefined) return { pid: 0, atWork: false, obeyed: true };
    let atWork = how === DIE_AT_WORK;
    let obeyed = true;
    children.delete(name);
    child.expected = true;
    if (how === DIE_AT_WORK) child.process.send(how);
    else child.process.kill(how);
    const patienceMs = how === DIE_AT_WORK ? WORK_WITHIN_MS : STOP_WITHIN_MS;
    const killer = setTimeout(() => {
      atWork = false;
      obeyed = false;
      child.process.kill('SIGKILL');
    }, patienceMs);
    await child.exited;
    clearTimeout(killer);
    return { pid: child.process.pid ?? 0, atWork, obeyed };
  }

  return {
    start: launch,
    async kill(name, when = 'now') {
      const killed = await end(name, when === 'now' ? 'SIGKILL' : DIE_AT_WORK);
      count('killed', 1);
      return killed;
    },
    stop: async (name) => (await end(name, 'SIGTERM')).obeyed,
    signal: (name, signal) => void children.get(name)?.process.kill(signal),
    tell(name, message) {
      // One that is ending has closed the line.
      children.get(name)?.process.send(message, () => {});
    },
    dispose: async () => void (await Promise.all([...children.keys()].map((name) => end(name, 'SIGKILL')))),
    pids: () => [...children.values()].flatMap(({ process: { pid } }) => pid ?? []),
    pidOf: (name) => children.get(name)?.process.pid,
    counted: (what) => counts.get(what) ?? 0,
    failure,
  };
}

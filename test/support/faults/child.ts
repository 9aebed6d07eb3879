/**
 * Child processes of the fault-injection tests: real ones, so that they can be killed and stopped for real. A child gets its settings as JSON,
 * tells what happens as lines of JSON on stdout, and stops in order when its stdin closes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { programPath } from '../programs.ts';

export interface ChildEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Child {
  readonly pid: number;
  readonly events: readonly ChildEvent[];
  /** Its stderr so far. */
  readonly log: string;
  /** Resolves when it is gone. */
  readonly exit: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  readonly gone: boolean;
  has(event: string, fields?: Record<string, unknown>): boolean;
  /** Resolves once the event was told; rejects when the child ends without it, or after two minutes. */
  told(event: string, fields?: Record<string, unknown>): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** Asks it to stop in order. */
  finish(): void;
}

const children = new Set<Child>();

type ChildProgram =
  | 'relay-child.ts'
  | 'consumer-child.ts'
  | 'saga-child.ts'
  | 'saga-poison-child.ts'
  | 'reference-child.ts'
  | 'job-child.ts';

/** `program` stands beside this file, and is started as it was compiled; `node` are options of Node itself. */
export function startChild(program: ChildProgram, settings: object, node: readonly string[] = []): Child {
  const file = programPath(program);
  const started = spawn(process.execPath, [...node, file, JSON.stringify(settings)], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  started.stdin.on('error', () => {});
  const events: ChildEvent[] = [];
  const listeners = new Set<() => void>();
  let log = '';
  started.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const lines = createInterface(started.stdout);
  const ended = once(lines, 'close');
  lines.on('line', (line) => {
    events.push(JSON.parse(line) as ChildEvent);
    for (const listener of listeners) listener();
  });
  let gone = false;
  const exited = once(started, 'exit');
  const exit = (async () => {
    const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null];
    await ended;
    gone = true;
    for (const listener of listeners) listener();
    return { code, signal };
  })();
  const child: Child = {
    pid: started.pid ?? -1,
    events,
    get log() {
      return log;
    },
    exit,
    get gone() {
      return gone;
    },
    has: (event, fields = {}) =>
      events.some(
        (each) => each.event === event && Object.entries(fields).every(([name, value]) => each[name] === value),
      ),
    told(event, fields) {
      return new Promise((resolve, reject) => {
        const end = (settle: () => void): void => {
          clearTimeout(timer);
          listeners.delete(look);
          settle();
        };
        const refuse = (why: string): void =>
          end(() => reject(new Error(`the child ${why} without '${event}' ${JSON.stringify(fields ?? {})}\n${log}`)));
        const look = (): void => {
          if (child.has(event, fields)) end(resolve);
          else if (gone) refuse('ended');
        };
        const timer = setTimeout(() => refuse('went on'), 120_000);
        listeners.add(look);
        look();
      });
    },
    kill: (signal) => void started.kill(signal),
    finish: () => void started.stdin.end(),
  };
  children.add(child);
  void exit.then(() => children.delete(child));
  return child;
}

/** Asks the child to stop in order once `done` resolves; resolves when it is asked, or dead. `done` should give up when it is gone. */
export async function finishWhen(child: Child, done: () => Promise<void>): Promise<void> {
  const finishing = done().then(
    () => child.finish(),
    (error: unknown) => {
      if (!child.gone) throw new Error(`${String(error)}\n${child.log}`, { cause: error });
    },
  );
  await Promise.race([child.exit, finishing]);
}

/** Ends whatever a failed test left behind. */
export async function endChildren(): Promise<void> {
  const left = [...children];
  for (const child of left) child.kill('SIGKILL');
  await Promise.all(left.map((child) => child.exit));
}

/** Runs `work` on all items, at most `limit` at a time; they must not share anything. */
export async function inParallel<T>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const lane = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: limit }, lane));
}

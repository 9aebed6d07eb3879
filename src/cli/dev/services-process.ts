/**
 * The process with the services, as `holdfast dev` sees it: started, ended, started anew, one after the other. One that dies by itself is
 * started again after a while that grows; one that cannot run as the project is now waits for a change.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { keep, release, type Kept } from '../../servers/keeper.ts';
import { EXIT } from '../exit-codes.ts';
import { isServicesReport, type ServicesReport } from './report.ts';

export interface ServicesHooks {
  readonly onReport: (report: ServicesReport) => void;
  /** A line of its output. */
  readonly onLine: (line: string, stream: 'stdout' | 'stderr') => void;
  /** It has ended without having been told to. `againInMs`: null: not before something changes. */
  readonly onEnd: (why: string, againInMs: number | null) => void;
  /** It has not said for so long that it is ready. */
  readonly onSlow: (seconds: number) => void;
  /** It cannot run as it was told to. True: it was told wrongly, and `command` says better now. */
  readonly onUnfit: () => Promise<boolean>;
}

export interface ServicesProcess {
  start(): void;
  /** Ends it in order, and starts it again. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export interface ServicesCommand {
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** What is under way may take so long to end; what takes longer is cut off, and is in doubt. */
const DRAIN_MS = 5_000;
const FIRST_AGAIN_MS = 1_000;
const LONGEST_AGAIN_MS = 30_000;
/** A start takes seconds. */
const SLOW_SECONDS = 20;

/** `command` is asked for each start. */
export function createServicesProcess(command: () => ServicesCommand, hooks: ServicesHooks): ServicesProcess {
  let child: ChildProcess | null = null;
  let again: NodeJS.Timeout | null = null;
  let deaths = 0;
  let isOver = false;
  let turn: Promise<void> = Promise.resolve();

  function begin(): void {
    if (isOver || child !== null) return;
    const { args, env } = command();
    // A group of its own: Ctrl-C at the terminal is for us, who end it in order.
    const own = spawn(process.execPath, [...process.execArgv, ...args], {
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    child = own;
    const kept: Kept = { kind: 'group', id: String(own.pid), signal: 'SIGTERM' };
    if (own.pid !== undefined) keep(kept);
    for (const stream of ['stdout', 'stderr'] as const) {
      const source = own[stream];
      if (source !== null) createInterface({ input: source }).on('line', (line) => hooks.onLine(line, stream));
    }
    const slow = setTimeout(() => hooks.onSlow(SLOW_SECONDS), SLOW_SECONDS * 1_000);
    own.on('message', (message) => {
      if (!isServicesReport(message)) return;
      if (message.kind === 'ready') {
        clearTimeout(slow);
        deaths = 0;
      }
      hooks.onReport(message);
    });
    own.once('error', () => {});
    own.once('close', (code, signal) => {
      clearTimeout(slow);
      release(kept);
      // It was told to end, and another one is there, or none is wanted.
      if (child !== own) return;
      child = null;
      void ended(code, signal);
    });
  }

  async function ended(code: number | null, signal: NodeJS.Signals | null): Promise<void> {
    const waits = code === EXIT.usage;
    if (!isOver && waits && (await hooks.onUnfit())) return begin();
    // It may have been started again meanwhile, because code has changed.
    if (isOver || child !== null) return;
    deaths += 1;
    const againInMs = waits ? null : Math.min(LONGEST_AGAIN_MS, FIRST_AGAIN_MS * 2 ** (deaths - 1));
    if (againInMs !== null) again = setTimeout(begin, againInMs);
    hooks.onEnd(signal === null ? `exit code ${code ?? '?'}` : signal, againInMs);
  }

  async function end(): Promise<void> {
    if (again !== null) clearTimeout(again);
    again = null;
    const own = child;
    child = null;
    if (own !== null) await endGroup(own, DRAIN_MS);
  }

  const inTurn = (work: () => Promise<void>): Promise<void> => (turn = turn.then(work, work));

  return {
    start: begin,
    restart: () =>
      inTurn(async () => {
        await end();
        deaths = 0;
        begin();
      }),
    stop() {
      isOver = true;
      return inTurn(end);
    },
  };
}

/** SIGTERM to the process, SIGKILL to all of its group when that takes longer. */
export async function endGroup(child: ChildProcess, patienceMs: number, wholeGroup = false): Promise<void> {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
  sendSignal(wholeGroup ? -pid : pid, 'SIGTERM');
  const killer = setTimeout(() => sendSignal(-pid, 'SIGKILL'), patienceMs);
  await gone;
  clearTimeout(killer);
}

function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has just ended.
  }
}

/**
 * The child's end of the line to demo/main.ts: settings come in, readiness and counts go out.
 */
import type { Metrics, Service } from '../../src/index.ts';
import { createLogger } from '../../src/runtime/pino-logger.ts';
import type { Broker } from '../broker.ts';
import { DIE_AT_WORK } from '../chaos.ts';
import { isTroubleOrder, type Task } from '../troubles.ts';
import type { ServiceName, World } from '../world.ts';

export interface Settings {
  readonly world: World;
  readonly databases: Readonly<Record<ServiceName, string>>;
  readonly broker: Broker;
  /**
   * In how many parts the relays share the work.
   *
   * @defaultValue 1
   */
  readonly shards?: number;
  readonly pace: Pace;
}

export interface Pace {
  /** How long the work of a killed process waits for another one. */
  readonly relayLease: `${number}s`;
  readonly workerLease: `${number}s`;
  /** How often those look that have nothing to do. */
  readonly idlePoll: `${number}ms` | `${number}s`;
}

export type Report =
  | { readonly kind: 'ready' }
  /** For example `duplicates`: so many deliveries were recognised as that. */
  | { readonly kind: 'count'; readonly what: string; readonly by: number }
  /** An alert, in one sentence. */
  | { readonly kind: 'alert'; readonly text: string }
  | { readonly kind: 'told'; readonly said: unknown };

/** Only what is wrong; the parent shows the last lines if this process dies of it. */
export const log = createLogger({ level: 'warn', pretty: false });

export function report(message: Report): void {
  // Written before this returns unless the pipe is full, so that a SIGKILL takes hardly any count with it.
  process.send?.(message);
}

/** Counts that are shown, by metric, and by outcome where only one is of interest. */
const SHOWN: Readonly<Record<string, string>> = {
  'holdfast_consumer_messages_total duplicate': 'duplicates',
  'holdfast_participant_calls_total repeated': 'repeated',
  holdfast_consumer_retries_total: 'retries',
};

/** Sends what is counted to the parent at once, because a SIGKILL would take it along. */
export const metrics: Metrics = {
  counter: (name) => ({
    inc(labels, by = 1) {
      const what = SHOWN['outcome' in labels ? `${name} ${String(labels.outcome)}` : name];
      if (what !== undefined) report({ kind: 'count', what, by });
    },
  }),
  gauge: () => ({ set: () => {}, remove: () => {} }),
  histogram: () => ({ observe: () => {} }),
};

/** What a process runs. */
export interface Program extends Service {
  close(): Promise<void>;
  /** To be killed in the middle of its next piece of work, by itself. */
  dieAtWork?(): void;
  /** To refuse a task with these words; null: no more. */
  setTrouble?(task: Task, says: string | null): void;
  /** Any other message. */
  hear?(message: unknown): void;
}

/** Waits for the settings, runs the program, and stops it in order on SIGTERM. Ends with the parent, however that ended. */
export function run(open: (settings: Settings) => Program): Promise<void> {
  return runProgram((sent) => open(sent as Settings));
}

/** The same, with settings of another kind. */
export async function runProgram(open: (settings: unknown) => Program | Promise<Program>): Promise<void> {
  process.on('disconnect', () => process.exit(1));
  // Ctrl-C reaches all processes of the terminal; the parent sees to the end of this one.
  process.on('SIGINT', () => {});
  const settings = await new Promise<unknown>((resolve) => process.once('message', resolve));
  const program = await open(settings);
  process.on('message', (sent) => {
    if (sent === DIE_AT_WORK) program.dieAtWork?.();
    else if (isTroubleOrder(sent)) program.setTrouble?.(sent.task, sent.says);
    else program.hear?.(sent);
  });
  process.once('SIGTERM', () => {
    void program
      .stop()
      .then(() => program.close())
      .then(() => process.exit(0));
  });
  await program.start();
  report({ kind: 'ready' });
}

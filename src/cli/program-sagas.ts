/**
 * The verbs about sagas, their flags and help.
 */
import type { Command } from 'commander';
import { BROKER, RELAY, SAGAS, WORKER, type SettingName } from './config/options.ts';
import { addActOptions, addSettings, contextOf, type AddVerb } from './verb.ts';

export interface Shell {
  readonly program: Command;
  readonly verb: AddVerb;
  readonly group: (name: string, description: string) => Command;
  readonly setUp: (command: Command) => Command;
  /** A verb that prints by itself has ended. */
  readonly ended: (exitCode: number) => void;
}

const sagaVerbs = () => import('./verbs/saga.ts');
const actVerbs = () => import('./verbs/saga-acts.ts');

/** What a worker shares with the relay. */
const PROCESS: readonly SettingName[] = ['lease', 'httpHost', 'httpPort', 'shutdownDeadline', 'logLevel', 'logFormat'];

export function addSagaVerbs(shell: Shell): void {
  addDaemons(shell);
  const { verb, group } = shell;
  const saga = group('saga', 'runs of sagas: look at them, start them, help those that are stuck');
  verb(saga, 'ls', 'runs, newest first', async () => (await import('./verbs/saga-ls.ts')).sagaLs)
    .option('--saga <name>', 'only of this saga')
    .option('--status <list>', 'only these: pending, running, waiting, compensating, completed, compensated, stuck')
    .option('--stuck', 'only those that need a person')
    .option('--key <key>', 'only with this key')
    .option('--since <time>', 'started since: 30m, 2h, 7d ago, or a date')
    .option('--before <id>', 'older than this run: the next page')
    .option('--limit <n>', 'at most so many (default: 20)');
  ofOneRun(
    verb(
      saga,
      'show',
      'one run as a timeline: what it did, what was compensated, what to do about it',
      async () => (await sagaVerbs()).sagaShow,
    ).argument('<run>', RUN),
  );
  ofOneRun(
    verb(saga, 'history', 'the journal of a run, event by event', async () => (await sagaVerbs()).sagaHistory).argument(
      '<run>',
      RUN,
    ),
  );
  verb(saga, 'start', 'start a run', async () => (await actVerbs()).sagaStart, ['sagas'])
    .argument('<saga>', "its name; 'name@2' for another version than the newest")
    .requiredOption('--input <json>', 'JSON, @file, or - for standard input')
    .option('--key <key>', 'the same key gives the run that is there already')
    .option('--deadline <duration>', 'compensate it if it is not done by then');
  addActOptions(
    ofOneRun(
      verb(saga, 'signal', 'send a signal to a run', async () => (await actVerbs()).sagaSignal, ['sagas'])
        .argument('<run>', RUN)
        .argument('<signal>', 'its name')
        .option('--payload <json>', 'JSON, @file, or - for standard input; checked when --sagas is given')
        .option('--id <id>', 'a signal with the same id is taken once'),
    ),
    'optional',
  );
  ofManyRuns(
    verb(saga, 'cancel', 'have a run compensated, or all that match', async () => (await actVerbs()).sagaCancel)
      .argument('[run]', RUN)
      .option('--status <list>', 'with --all, only these: pending, running, waiting, stuck'),
    'optional',
  );
  ofManyRuns(
    verb(
      saga,
      'retry',
      'try a stuck run again where it stopped, or all that match',
      async () => (await actVerbs()).sagaRetry,
    ).argument('[run]', RUN),
    'optional',
  );
  ofManyRuns(
    verb(saga, 'skip', 'leave out the compensation that a run is stuck at', async () => (await actVerbs()).sagaSkip)
      .argument('[run]', RUN)
      .argument('[call]', 'the call whose compensation is left out (default: where it is stuck)'),
    'required',
  );
  ofManyRuns(
    verb(saga, 'resolve', 'say what became of what a run is stuck at', async () => (await actVerbs()).sagaResolve)
      .argument('[run]', RUN)
      .argument('[call]', "the call (default: where it is stuck); '*': the run as a whole, which then ends")
      .requiredOption('--as <outcome>', 'done, not-done, or compensated (by hand)')
      .option('--output <json>', 'with done: its output, as JSON, @file, or -'),
    'required',
  );
}

const RUN = 'its id, or the key it was started with';

function ofOneRun(command: Command): Command {
  return command.option('--saga <name>', 'of which saga, where several have runs with that key');
}

/** A verb for one run, or with --all for all that match. */
function ofManyRuns(command: Command, reason: 'required' | 'optional'): void {
  ofOneRun(command)
    .option('--all', 'all runs that match what follows; counts and shows them first')
    .option('--saga-version <n>', 'with --all, only of this version of the saga')
    .option('--error <text>', 'with --all, only with this code or name of the error, or a part of its message')
    .option('--since <time>', 'with --all, only started since: 30m, 2h, 7d ago, or a date')
    .option('--until <time>', 'with --all, only started before')
    .option('--yes', 'with --all, do it');
  addActOptions(command, reason);
}

function addDaemons({ program, setUp, ended }: Shell): void {
  const names = (...groups: readonly object[]): SettingName[] => groups.flatMap(Object.keys) as SettingName[];
  const daemon = (name: string, description: string, settings: readonly SettingName[]): void => {
    const command = setUp(program.command(name)).description(description);
    addSettings(command, settings)
      .option('--no-http', 'no pages for probes and metrics')
      .option('--migrate', 'apply pending migrations before the start')
      .action(async () => {
        const verbs = await import('./verbs/worker.ts');
        const context = await contextOf(command, settings);
        ended(await (name === 'worker' ? verbs.worker(context) : verbs.start(context)));
      });
  };
  daemon('worker', 'run sagas; runs until it is stopped', [...names(SAGAS, WORKER, BROKER), 'transport', ...PROCESS]);
  daemon('start', 'relay and worker in one process', names(SAGAS, WORKER, BROKER, RELAY));
}

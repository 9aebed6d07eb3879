/**
 * The verbs about runs of sagas, their flags and help.
 */
import type { Command } from 'commander';
import { addActOptions } from '../verb.ts';
import { manyOptions, type Shell } from './shell.ts';

const sagaVerbs = () => import('../verbs/saga.ts');
const actVerbs = () => import('../verbs/saga-acts.ts');

const RUN = 'its id, or the key it was started with';

export function addSagaVerbs(shell: Shell): void {
  const saga = shell.group('saga', 'runs of sagas: look at them, start them, help those that are stuck');
  addLooks(shell, saga);
  addRequests(shell, saga);
  addInterventions(shell, saga);
  addRestart(shell, saga);
}

function addLooks({ verb }: Shell, saga: Command): void {
  verb(saga, {
    name: 'ls',
    description: 'runs, newest first',
    load: async () => (await import('../verbs/saga-ls.ts')).sagaLs,
  })
    .option('--saga <name>', 'only of this saga')
    .option('--status <list>', 'only these: pending, running, waiting, compensating, completed, compensated, stuck')
    .option('--stuck', 'only those that need a person')
    .option('--key <key>', 'only with this key')
    .option('--saga-version <n>', 'only of this version of the saga')
    .option('--id <prefix>', 'whose id is this, or begins so')
    .option('--parent <id>', 'children of this run')
    .option('--error <text>', 'with this code or name of the error, or a part of its message')
    .option('--input <json>', 'whose input contains this JSON, as PostgreSQL has it (@>); or @file, or -')
    .option('--since <time>', 'started since: 30m, 2h, 7d ago, or a date')
    .option('--until <time>', 'started before')
    .option('--updated-since <time>', 'changed since')
    .option('--updated-until <time>', 'last changed before')
    .option('--finished-since <time>', 'ended since; in the order of their ends')
    .option('--finished-until <time>', 'ended before; in the order of their ends')
    .option('--before <id>', 'older than this run: the next page')
    .option('--cursor <cursor>', 'a page of the same list: what --json calls older and newer')
    .option('--limit <n>', 'at most so many (default: 20)');
  const show = verb(saga, {
    name: 'show',
    description: 'one run as a timeline: what it did, what was compensated, what to do about it',
    load: async () => (await sagaVerbs()).sagaShow,
  });
  ofOneRun(show.argument('<run>', RUN));
  const history = verb(saga, {
    name: 'history',
    description: 'the journal of a run, event by event',
    load: async () => (await sagaVerbs()).sagaHistory,
  });
  ofOneRun(history.argument('<run>', RUN));
}

/** What clients can do as well. */
function addRequests({ verb }: Shell, saga: Command): void {
  verb(saga, {
    name: 'start',
    description: 'start a run',
    load: async () => (await actVerbs()).sagaStart,
    settings: ['sagas'],
  })
    .argument('<saga>', "its name; 'name@2' for another version than the newest")
    .requiredOption('--input <json>', 'JSON, @file, or - for standard input')
    .option('--key <key>', 'the same key gives the run that is there already')
    .option('--deadline <duration>', 'compensate it if it is not done by then');
  const signal = verb(saga, {
    name: 'signal',
    description: 'send a signal to a run',
    load: async () => (await actVerbs()).sagaSignal,
    settings: ['sagas'],
  })
    .argument('<run>', RUN)
    .argument('<signal>', 'its name')
    .option('--payload <json>', 'JSON, @file, or - for standard input; checked when --sagas is given')
    .option('--id <id>', 'a signal with the same id is taken once');
  addActOptions(ofOneRun(signal), 'optional');
  const cancel = verb(saga, {
    name: 'cancel',
    description: 'have a run compensated, or all that match',
    load: async () => (await actVerbs()).sagaCancel,
  })
    .argument('[run]', RUN)
    .option('--status <list>', 'with --all, only these: pending, running, waiting, stuck');
  ofManyRuns(cancel, 'optional');
}

/** What begins again with a run that is over. */
function addRestart({ verb }: Shell, saga: Command): void {
  const restart = verb(saga, {
    name: 'restart',
    description: 'start a run that has ended once more, as a new run',
    load: async () => (await import('../verbs/saga-restart.ts')).sagaRestart,
    settings: ['sagas'],
  })
    .argument('<run>', RUN)
    .option('--saga-version <n>', "version of the saga, or 'newest' (default: that of the run)")
    .option('--input <json>', 'another input: JSON, @file, or - for standard input; checked when --sagas is given');
  addActOptions(ofOneRun(restart), 'required');
}

/** What leads out of a standstill. */
function addInterventions({ verb }: Shell, saga: Command): void {
  const retry = verb(saga, {
    name: 'retry',
    description: 'try a stuck run again where it stopped, or all that match',
    load: async () => (await actVerbs()).sagaRetry,
  });
  ofManyRuns(retry.argument('[run]', RUN), 'optional');
  const skip = verb(saga, {
    name: 'skip',
    description: 'leave out the compensation that a run is stuck at',
    load: async () => (await actVerbs()).sagaSkip,
  })
    .argument('[run]', RUN)
    .argument('[call]', 'the call whose compensation is left out (default: where it is stuck)');
  ofManyRuns(skip, 'required');
  const resolve = verb(saga, {
    name: 'resolve',
    description: 'say what became of what a run is stuck at',
    load: async () => (await actVerbs()).sagaResolve,
  })
    .argument('[run]', RUN)
    .argument('[call]', "the call (default: where it is stuck); '*': the run as a whole, which then ends")
    .requiredOption('--as <outcome>', 'done, not-done, or compensated (by hand)')
    .option('--output <json>', 'with done: its output, as JSON, @file, or -');
  ofManyRuns(resolve, 'required');
}

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
    .option('--until <time>', 'with --all, only started before');
  manyOptions(command);
  addActOptions(command, reason);
}

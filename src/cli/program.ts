/**
 * The command line: finds the verb in the arguments, runs it and prints what it hands back. The verbs are in program/.
 */
import { CommanderError, type Command } from 'commander';
import { describeFailure } from '../runtime/describe-failure.ts';
import { visibleJson, visiblePage } from '../runtime/terminal-text.ts';
import { packageVersion } from '../runtime/version.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { formatFailure, type Ui, type VerbReport } from './output/report.ts';
import { createStyle, wantsColor } from './output/style.ts';
import { addDashboardDaemon, addDevDaemon, addWorkerDaemons, addRelayDaemon } from './program/daemon-verbs.ts';
import {
  addAdoptVerb,
  addAlertsVerb,
  addAuditVerb,
  addDoctorVerb,
  addMigrateVerbs,
  addStatusVerb,
} from './program/database-verbs.ts';
import {
  addFindVerb,
  addJobVerbs,
  addOutboxVerbs,
  addParkedVerbs,
  addSubscriptionVerbs,
} from './program/flow-verbs.ts';
import { addImportVerbs } from './program/import-verbs.ts';
import { addCompletionVerb, addInitVerb } from './program/project-verbs.ts';
import { addSagaVerbs } from './program/saga-verbs.ts';
import { createShell, type ShellHooks } from './program/shell.ts';

const EXAMPLES = `
Examples:
  holdfast init                                         a first project: saga, consumer, service, test
  holdfast dev                                          on your machine: database, relay, worker, dashboard
  holdfast migrate                                      create or update the tables
  holdfast relay --route 'order.**=shipping'            publish what is committed
  holdfast worker --sagas ./sagas                       run sagas
  holdfast start --sagas ./sagas --route '**=shop'      relay and worker in one process
  holdfast status --watch                               lag, rate, leases, parked messages, runs
  holdfast find o-1                                     what has this id or key, and where to look
  holdfast outbox ls --topic 'order.*' --since 1h       look into the log
  holdfast parked ls                                    what was taken out of the flow
  holdfast parked retry --all                           try it again, in order
  holdfast parked groups                                what failed, by kind of error
  holdfast outbox replay --since 2h --dry-run           publish part of the log again
  holdfast saga ls --stuck                              runs that need a person
  holdfast saga show ID                                 what a run did, and what to do about it
  holdfast dashboard                                    all of this as a web page
  holdfast doctor                                       look for what will hurt

Settings: flags win over HOLDFAST_… variables, these over holdfast.config.ts, that over defaults.
Exit codes: 0 well, 1 unexpected, 2 usage or configuration, 3 database, 4 stopped by force, 10 findings.`;

/** Runs one command line, without the program's own name. Resolves with the exit code; prints, but never exits. */
export async function runProgram(args: readonly string[]): Promise<number> {
  const json = args.includes('--json');
  const outUi = uiOf(process.stdout);
  const errUi = uiOf(process.stderr);
  let exitCode: number = EXIT.ok;
  const print = ({ json: document, text, exitCode: code = EXIT.ok }: VerbReport): void => {
    process.stdout.write(json ? jsonLine(document) : `${visiblePage(text(outUi))}\n`);
    exitCode = code;
  };
  const program = createProgram({
    ui: outUi,
    print,
    ended: (code) => void (exitCode = code),
    errOutput: (text) => void (json ? undefined : process.stderr.write(visiblePage(text))),
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version have printed themselves; a wrong usage as well, unless a program reads.
      if (error.exitCode === 0) return EXIT.ok;
      const message = error.message.replace(/^error: /, '');
      if (json) printError({ code: 'HF_CONFIG', message, advice: 'See holdfast --help.' });
      return EXIT.usage;
    }
    if (json) printError(describeFailure(error));
    else process.stderr.write(`${visiblePage(formatFailure(error, errUi))}\n`);
    return exitCodeOf(error);
  }
}

function printError(error: object): void {
  process.stdout.write(jsonLine({ error }));
}

function jsonLine(document: unknown): string {
  return `${visibleJson(JSON.stringify(document))}\n`;
}

/** The whole tree of verbs; what it was asked for is handed to `hooks`. */
export function createProgram(hooks: ShellHooks): Command {
  const shell = createShell(hooks);
  const version = packageVersion();
  shell.program
    .description(
      'Messages that cannot be lost, and flows that finish or compensate themselves: outbox, inbox and sagas on PostgreSQL.',
    )
    .version(version, '-V, --version')
    .addHelpText('after', EXAMPLES);
  // In the order of the help.
  addInitVerb(shell, version);
  addDevDaemon(shell);
  addRelayDaemon(shell);
  addMigrateVerbs(shell);
  addStatusVerb(shell);
  addFindVerb(shell);
  addAlertsVerb(shell);
  addOutboxVerbs(shell);
  addParkedVerbs(shell);
  addJobVerbs(shell);
  addAuditVerb(shell);
  addSubscriptionVerbs(shell);
  addAdoptVerb(shell);
  addImportVerbs(shell);
  addWorkerDaemons(shell);
  addSagaVerbs(shell);
  addDashboardDaemon(shell);
  addDoctorVerb(shell);
  addCompletionVerb(shell);
  return shell.program;
}

function uiOf(stream: NodeJS.WriteStream): Ui {
  return {
    style: createStyle(wantsColor(stream, process.env)),
    width: stream.isTTY ? Math.max(60, stream.columns ?? 80) : Infinity,
  };
}

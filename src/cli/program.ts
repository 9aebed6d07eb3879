/**
 * The verbs of the command line, their flags and help; runs one and prints what it hands back.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { BROKER, RELAY, type SettingName } from './config/options.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { describeFailure, formatFailure, type Report, type Ui } from './output/report.ts';
import { createStyle, wantsColor } from './output/style.ts';
import { addSagaVerbs } from './program-sagas.ts';
import { parseDuration, type Duration } from '../runtime/duration.ts';
import { visibleJson, visiblePage } from '../runtime/terminal-text.ts';
import { addActOptions, addSettings, contextOf, textFlag, type AddVerb, type Context } from './verb.ts';

// Loaded when they are asked for: the command line is to answer at once, and the relay alone loads half a dozen libraries.
const doctorVerbs = () => import('./verbs/doctor.ts');
const migrateVerbs = () => import('./verbs/migrate.ts');
const outboxVerbs = () => import('./verbs/outbox.ts');
const parkedVerbs = () => import('./verbs/parked.ts');
const subscriptionVerbs = () => import('./verbs/subscription.ts');

const EXAMPLES = `
Examples:
  holdfast migrate                                      create or update the tables
  holdfast relay --route 'order.**=shipping'            publish what is committed
  holdfast worker --sagas ./sagas                       run sagas
  holdfast start --sagas ./sagas --route '**=shop'      relay and worker in one process
  holdfast status --watch                               lag, rate, leases, parked messages, runs
  holdfast outbox ls --topic 'order.*' --since 1h       look into the log
  holdfast parked ls                                    what was taken out of the flow
  holdfast parked retry --all                           try it again, in order
  holdfast outbox replay --since 2h --dry-run           publish part of the log again
  holdfast saga ls --stuck                              runs that need a person
  holdfast saga show ID                                 what a run did, and what to do about it
  holdfast doctor                                       look for what will hurt

Settings: flags win over HOLDFAST_… variables, these over holdfast.config.ts, that over defaults.
Exit codes: 0 well, 1 unexpected, 2 usage or configuration, 3 database, 4 stopped by force, 10 findings.`;

/** Runs one command line, without the program's own name. Resolves with the exit code; prints, but never exits. */
export async function run(args: readonly string[]): Promise<number> {
  const json = args.includes('--json');
  const outUi = uiOf(process.stdout);
  const errUi = uiOf(process.stderr);
  let exitCode: number = EXIT.ok;
  const print = ({ json: document, text, exitCode: code = EXIT.ok }: Report): void => {
    process.stdout.write(json ? jsonLine(document) : `${visiblePage(text(outUi))}\n`);
    exitCode = code;
  };
  const program = createProgram({
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

interface ProgramHooks {
  readonly print: (report: Report) => void;
  /** A verb that prints by itself has ended. */
  readonly ended: (exitCode: number) => void;
  readonly errOutput: (text: string) => void;
}

function createProgram({ print, ended, errOutput }: ProgramHooks): Command {
  const style = createStyle(wantsColor(process.stdout, process.env));
  const setUp = (command: Command): Command =>
    command
      .exitOverride()
      .showHelpAfterError('(--help shows what there is)')
      .configureOutput({ writeErr: errOutput })
      .configureHelp({ styleTitle: style.bold, styleCommandText: style.bold, sortOptions: false });

  const program = setUp(new Command('holdfast'))
    .description(
      'Messages that cannot be lost, and flows that finish or compensate themselves: outbox, inbox and sagas on PostgreSQL.',
    )
    .version(readVersion(), '-V, --version')
    .addHelpText('after', EXAMPLES);

  /** A verb that hands back a report. */
  const verb: AddVerb = (parent, name, description, load, settings = []) => {
    const command = setUp(parent.command(name)).description(description);
    addSettings(command, settings);
    return command.action(async () => {
      const context = await contextOf(command, settings);
      print(await (await load())(context, command.args));
    });
  };
  const group = (name: string, description: string): Command => setUp(program.command(name)).description(description);

  const relaySettings = [...Object.keys(BROKER), ...Object.keys(RELAY)] as SettingName[];
  const relayCommand = setUp(program.command('relay')).description(
    'publish every committed message; runs until it is stopped',
  );
  addSettings(relayCommand, relaySettings)
    .option('--no-http', 'no pages for probes and metrics')
    .option('--migrate', 'apply pending migrations before the start')
    .action(async () =>
      ended(await (await import('./verbs/relay.ts')).relay(await contextOf(relayCommand, relaySettings))),
    );

  const migrateCommand = verb(
    program,
    'migrate',
    'create or update the tables of Holdfast',
    async () => (await migrateVerbs()).runMigrate,
  )
    .option('--dry-run', 'only show what would be applied, with its notes')
    .option('--to <version>', 'go no further than this version');
  verb(
    migrateCommand,
    'status',
    'which migrations are applied',
    async () => (await migrateVerbs()).runMigrateStatus,
  ).option('--check', 'exit code 10 when some are pending');

  const statusCommand = setUp(program.command('status')).description(
    'lag, rate, leases, parked messages, and how sagas are doing',
  );
  addSettings(statusCommand, ['redisUrl'])
    .option('-w, --watch', 'again and again, until Ctrl-C')
    .option('--interval <duration>', 'with --watch (default: 2s)')
    .action(async () => {
      const { status, watchStatus } = await import('./verbs/status.ts');
      const context = await contextOf(statusCommand, ['redisUrl']);
      if (context.flags['watch'] !== true) return print(await status(context));
      await watchStatus(context, {
        intervalMs: intervalOf(context),
        print: (report) => print(cleared(report, context.json)),
      });
    });

  const outbox = group('outbox', 'look into the log, publish part of it again');
  filterOptions(verb(outbox, 'ls', 'messages of the log, newest first', async () => (await outboxVerbs()).outboxLs))
    .option('--since <time>', 'written since: 30m, 2h, 7d ago, or a date')
    .option('--until <time>', 'written before')
    .option('--before <seq>', 'older than this seq: the next page')
    .option('--after <seq>', 'newer than this seq, oldest first')
    .option('--limit <n>', 'at most so many (default: 20)');
  verb(
    outbox,
    'show',
    'one message: envelope, payload, and where it has been',
    async () => (await outboxVerbs()).outboxShow,
  ).argument('<id>', 'message id');
  addActOptions(
    filterOptions(
      verb(
        outbox,
        'replay',
        'publish part of the log again; inboxes make it harmless',
        async () => (await outboxVerbs()).outboxReplay,
      ),
    )
      .option('--subscription <name>', 'on which subscription; may be left out when there is one')
      .option('--since <time>', 'written since: 30m, 2h, 7d ago, or a date')
      .option('--until <time>', 'written before')
      .option('--from-seq <seq>', 'from this seq on')
      .option('--to-seq <seq>', 'up to this seq')
      .option('--all', 'everything that is still in the log')
      .option('--dry-run', 'only show what would be published again'),
    'optional',
  );

  const parked = group(
    'parked',
    'messages taken out of the flow: by relays (not published) and consumers (not handled)',
  );
  placeOptions(
    filterOptions(verb(parked, 'ls', 'parked messages, oldest first', async () => (await parkedVerbs()).parkedLs)),
  )
    .option('--state <state>', 'failed, behind or dead')
    .option('--limit <n>', 'at most so many (default: 50)');
  verb(
    parked,
    'show',
    'one parked message: why, its payload, what waits behind it',
    async () => (await parkedVerbs()).parkedShow,
  ).argument('<id>', 'message id');
  addActOptions(
    placeOptions(
      verb(
        parked,
        'retry',
        'try failed messages again now, each key in order',
        async () => (await parkedVerbs()).parkedRetry,
      ),
    )
      .argument('[id]', 'message id')
      .option('--key <key>', 'all of this key')
      .option('--all', 'all of them')
      .option('--without-predecessor', 'consumers: go on although the message before it is missing'),
    'optional',
  );
  addActOptions(
    placeOptions(
      verb(parked, 'discard', 'give a parked message up for good', async () => (await parkedVerbs()).parkedDiscard),
    ).argument('<id>', 'message id'),
    'required',
  );

  const subscription = group('subscription', 'readers of the log');
  verb(subscription, 'ls', 'subscriptions and who holds them', async () => (await subscriptionVerbs()).subscriptionLs);
  addActOptions(
    verb(
      subscription,
      'drop',
      'remove a subscription that is gone for good',
      async () => (await subscriptionVerbs()).subscriptionDrop,
    )
      .argument('<name>', 'its name')
      .option('--discard-parked', 'also when it has parked messages, which are then lost'),
    'required',
  );

  addActOptions(
    verb(
      program,
      'adopt',
      'all goes on here: after a restore, a move, or for a copy that is to live on its own',
      async () => (await import('./verbs/adopt.ts')).runAdopt,
    ),
    'required',
  );

  addSagaVerbs({ program, verb, group, setUp, ended });

  verb(
    program,
    'doctor',
    'look for what will hurt: settings, leases, retention, sessions, stuck runs, Redis',
    async () => (await doctorVerbs()).runDoctor,
    ['redisUrl'],
  );
  return program;
}

function filterOptions(command: Command): Command {
  return command
    .option('--topic <pattern>', "only these topics: 'order.placed', 'order.*', 'order.**'")
    .option('--key <key>', 'only this key');
}

function placeOptions(command: Command): Command {
  return command
    .option('--subscription <name>', 'parked by the relay of this subscription')
    .option('--consumer <name>', 'parked by this consumer');
}

function intervalOf(context: Context): number {
  const given = textFlag(context, 'interval') ?? '2s';
  return Math.max(200, parseDuration((/^\d+$/.test(given) ? Number(given) : given) as Duration, '--interval'));
}

/** The screen is written over, so that it does not flicker. */
function cleared(report: Report, json: boolean): Report {
  if (json || !process.stdout.isTTY) return report;
  return { ...report, text: (ui) => `\u001B[H\u001B[2J${report.text(ui)}` };
}

function uiOf(stream: NodeJS.WriteStream): Ui {
  return {
    style: createStyle(wantsColor(stream, process.env)),
    width: stream.isTTY ? Math.max(60, stream.columns ?? 80) : Infinity,
  };
}

function readVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return manifest.version;
}

/**
 * What the files of this folder build verbs with, and flags that several of them have.
 */
import { Command } from 'commander';
import type { SettingName } from '../config/options.ts';
import type { Ui, VerbReport } from '../output/report.ts';
import { addSettings, contextOf, type Context, type RunVerb } from '../verb.ts';

export interface ShellHooks {
  readonly ui: Ui;
  readonly print: (report: VerbReport) => void;
  /** A verb that prints by itself has ended. */
  readonly ended: (exitCode: number) => void;
  readonly errOutput: (text: string) => void;
}

export interface VerbSpec {
  readonly name: string;
  readonly description: string;
  /** Called when the verb is asked for: what it needs is loaded then. */
  readonly load: () => Promise<RunVerb>;
  /** What it reads beside what every verb reads. */
  readonly settings?: readonly SettingName[];
  /** It runs without a database, or brings one. Default: false. */
  readonly bringsDatabase?: boolean;
}

export interface BareInputs {
  readonly args: readonly string[];
  readonly flags: Readonly<Record<string, unknown>>;
  readonly json: boolean;
  /** Of its output while it runs. */
  readonly ui: Ui;
}

export interface Shell {
  readonly program: Command;
  readonly print: (report: VerbReport) => void;
  /** A verb that hands back a report. */
  readonly verb: (parent: Command, spec: VerbSpec) => Command;
  /** A verb that prints by itself and resolves with an exit code; null: `print` was told. */
  readonly printing: (
    spec: Omit<VerbSpec, 'load'>,
    run: (context: Context, args: readonly string[]) => Promise<number | null>,
  ) => Command;
  /** A verb that reads no configuration and needs no database. */
  readonly bare: (
    spec: Pick<VerbSpec, 'name' | 'description'>,
    run: (given: BareInputs) => Promise<VerbReport>,
  ) => Command;
  /** A word with verbs of its own. */
  readonly group: (name: string, description: string) => Command;
}

export function createShell({ ui, print, ended, errOutput }: ShellHooks): Shell {
  const setUp = (command: Command): Command =>
    command
      .exitOverride()
      .showHelpAfterError('(--help shows what there is)')
      .configureOutput({ writeErr: errOutput })
      .configureHelp({ styleTitle: ui.style.bold, styleCommandText: ui.style.bold, sortOptions: false });
  const program = setUp(new Command('holdfast'));

  return {
    program,
    print,
    verb(parent, { name, description, load, settings = [] }) {
      const command = setUp(parent.command(name)).description(description);
      addSettings(command, settings);
      return command.action(async () => {
        const context = await contextOf(command, settings);
        print(await (await load())(context, command.args));
      });
    },
    printing({ name, description, settings = [], bringsDatabase }, run) {
      const command = setUp(program.command(name)).description(description);
      addSettings(command, settings);
      return command.action(async () => {
        const exitCode = await run(await contextOf(command, settings, bringsDatabase), command.args);
        if (exitCode !== null) ended(exitCode);
      });
    },
    bare({ name, description }, run) {
      const command = setUp(program.command(name)).description(description);
      return command.action(async () => {
        const flags = command.opts<Record<string, unknown>>();
        print(await run({ args: command.args, flags, json: flags['json'] === true, ui }));
      });
    },
    group: (name, description) => setUp(program.command(name)).description(description),
  };
}

export function filterOptions(command: Command): Command {
  return command
    .option('--topic <pattern>', "only these topics: 'order.placed', 'order.*', 'order.**'")
    .option('--key <key>', 'only this key');
}

/** Of acts on many: they count and show first. */
export function manyOptions(command: Command): Command {
  return command
    .option('--dry-run', 'only show what it would meet, also with --yes')
    .option('--yes', 'do it, as a job')
    .option('--expect <n>', 'how many were shown: not when there are far more by now')
    .option('--rate <n>', 'so many a second at most (default: 500); max: as fast as it goes');
}

export function daemonOptions(command: Command): Command {
  return command
    .option('--no-http', 'no pages for probes and metrics')
    .option('--migrate', 'apply pending migrations before the start');
}

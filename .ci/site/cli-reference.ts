/**
 * docs/cli.md: every verb of the command line with its arguments and flags, made of the program itself.
 */
import type { Command, Option } from 'commander';
import { ALL, COMMON, type Setting } from '../../src/cli/config/options.ts';

const HEAD = `# The command line

Made by \`npm run reference\` from the program itself: what \`holdfast VERB --help\` says, on one page. How the verbs are used is told in [operations.md](operations.md); each run ends with one of the [exit codes](operations.md#stopping-and-exit-codes).`;

export function cliReference(program: Command): string {
  const verbs = leaves(program);
  const parts = [
    HEAD,
    `## Flags of every verb\n\n${table(everywhere(verbs))}\n\nA few verbs that need no database have fewer: \`--help\` tells.`,
    ...verbs.map((verb) => verbPage(verb, new Set(everywhere(verbs).map(({ flags }) => flags)))),
    settingsPart(),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** Verbs that do something, in the order of the help. */
function leaves(command: Command): readonly Command[] {
  const { visibleCommands } = helperOf(command);
  const inner = visibleCommands.filter((each) => each.name() !== 'help');
  if (inner.length === 0) return [command];
  const below = inner.flatMap(leaves);
  // `migrate` acts by itself and has verbs of its own.
  return command.parent !== null && hasAction(command) ? [command, ...below] : below;
}

function hasAction(command: Command): boolean {
  return command.options.length > 0;
}

function helperOf(command: Command): {
  readonly visibleCommands: readonly Command[];
  readonly visibleOptions: readonly Option[];
} {
  const helper = command.createHelp();
  return {
    visibleCommands: helper.visibleCommands(command),
    visibleOptions: helper.visibleOptions(command).filter(({ long }) => long !== '--help'),
  };
}

function everywhere(verbs: readonly Command[]): readonly Option[] {
  const count = new Map<string, number>();
  for (const verb of verbs)
    for (const { flags } of helperOf(verb).visibleOptions) count.set(flags, (count.get(flags) ?? 0) + 1);
  const options = verbs.flatMap((verb) => helperOf(verb).visibleOptions);
  const common = options.filter(({ flags }) => (count.get(flags) ?? 0) > verbs.length * 0.8);
  return [...new Map(common.map((option) => [option.flags, option])).values()];
}

function verbPage(verb: Command, common: ReadonlySet<string>): string {
  const name = fullName(verb);
  const given = verb.registeredArguments.map((argument) => {
    const word = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return argument.required ? ` <${word}>` : ` [${word}]`;
  });
  const own = helperOf(verb).visibleOptions.filter(({ flags }) => !common.has(flags));
  const explained = verb.registeredArguments.filter(({ description }) => description !== '');
  return [
    `## ${name}`,
    sentence(verb.description()),
    `\`\`\`sh\n${name}${given.join('')}${own.length > 0 ? ' [flags]' : ''}\n\`\`\``,
    ...(explained.length > 0
      ? [explained.map((argument) => `- \`${argument.name()}\`: ${prose(argument.description)}`).join('\n')]
      : []),
    ...(own.length > 0 ? [table(own)] : []),
  ].join('\n\n');
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

function table(options: readonly Option[]): string {
  const rows = options.map(({ flags, description, defaultValue }) => {
    const fallback = defaultValue === undefined || defaultValue === true ? '' : ` (default: ${String(defaultValue)})`;
    return `| \`${cell(flags)}\` | ${cell(prose(description + fallback))} |`;
  });
  return ['| flag | what it does |', '|---|---|', ...rows].join('\n');
}

/** Settings that the environment can give as well. */
function settingsPart(): string {
  const settings: readonly Setting<unknown>[] = Object.values(ALL);
  const common = new Set<Setting<unknown>>(Object.values(COMMON));
  const sorted = settings.toSorted((left, right) => Number(common.has(right)) - Number(common.has(left)));
  const rows = sorted.map(
    ({ flag, env, help }) =>
      `| \`${cell(flag)}\` | ${env.map((name) => `\`${name}\``).join(', ')} | ${cell(prose(help))} |`,
  );
  return [
    '## Settings from the environment',
    'Flags win over variables, these over `holdfast.config.ts` ([configuration](operations.md#configuration)), that over defaults. Of several variables the first that is set counts.',
    ['| flag | variable | what it is |', '|---|---|---|', ...rows].join('\n'),
  ].join('\n\n');
}

function sentence(text: string): string {
  const spoken = prose(text);
  const capital = spoken.charAt(0).toUpperCase() + spoken.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** Variables as code; angle brackets and stars as they stand. */
function prose(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/[<>*]/g, (sign) => `\\${sign}`)
    .replace(/ \[([A-Z_, ]+)\]$/, (_, names: string) => `. ${names.replaceAll(/\w+/g, (name) => `\`${name}\``)}`);
}

function cell(text: string): string {
  return text.replaceAll('|', String.raw`\|`);
}

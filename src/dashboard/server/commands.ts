/**
 * The command of the command line that does what an act of the dashboard did. Pure, and without anything of Node, so that the page can show
 * it before the act as well.
 */

/** A flag without a value is true; what is undefined, null or false is left out. */
export type CommandFlags = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** `holdfast VERB …`, in quotes where a shell needs them. */
export function commandLine(words: readonly (string | null | undefined)[], flags: CommandFlags = {}): string {
  const parts = ['holdfast', ...words.filter((word) => typeof word === 'string').map(quoted)];
  for (const [name, value] of Object.entries(flags)) {
    if (value === undefined || value === null || value === false) continue;
    parts.push(value === true ? `--${name}` : `--${name} ${quoted(String(value))}`);
  }
  return parts.join(' ');
}

/** What an act on many takes beside what it is for. */
export interface ManyTerms {
  /** How many were shown. */
  readonly expect: number;
  /** A second; null: as fast as it goes; undefined: as the command line has it. */
  readonly rate?: number | null | undefined;
  readonly reason: string;
}

/** Names of criteria that flags have other names for. */
const FLAGS: Readonly<Record<string, string>> = { version: 'saga-version' };

/** An act on all that fit, such as `holdfast parked retry --group … --yes --expect 12`. What is left out of `select` does not narrow. */
export function manyCommand(
  words: readonly string[],
  select: Readonly<Record<string, unknown>>,
  { expect, rate, reason }: ManyTerms,
  more: CommandFlags = {},
): string {
  const given = Object.entries(select).filter(([, value]) => value !== undefined);
  const flags = Object.fromEntries(given.map(([name, value]) => [FLAGS[name] ?? name, flagOf(value)]));
  const all = words[0] === 'saga' || given.length === 0;
  return commandLine(words, { all, ...flags, ...more, yes: true, expect, rate: rate === null ? 'max' : rate, reason });
}

function flagOf(value: unknown): string | number | boolean {
  if (value instanceof Date) return value.toISOString();
  return typeof value === 'number' || typeof value === 'boolean' ? value : String(value);
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

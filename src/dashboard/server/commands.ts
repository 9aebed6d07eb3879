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

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

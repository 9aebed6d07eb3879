/**
 * The verbs and flags that docs/cli.md has, which is made of the program itself, for the tests that hold pages, units and manifests to it.
 */
import { readFileSync } from 'node:fs';

const cli = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');

function sectionOf(title: string): string | undefined {
  return new RegExp(String.raw`^## ${title}\n([^]*?)(?=^## |$(?![^]))`, 'm').exec(cli)?.[1];
}

/** What of a command line, without the program's name, docs/cli.md does not have: the verb, or flags. */
export function unknownWords(words: readonly string[]): readonly string[] {
  const [first = '', second = ''] = words;
  const own = sectionOf(`holdfast ${first} ${second}`) ?? sectionOf(`holdfast ${first}`);
  if (own === undefined) return [first];
  const flags = own + (sectionOf('Flags of every verb') ?? '');
  const known = new Set([...flags.matchAll(/^\| `(?:-\w, )?(--[\w-]+)/gm)].map(([, flag = '']) => flag));
  return words.filter((word) => word.startsWith('--') && word !== '--help' && !known.has(word));
}

export function isDocumentedVariable(name: string): boolean {
  return cli.includes(`\`${name}\``);
}

/** Pages that tell people what to run name verbs and flags that there are. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from '../house/source-files.ts';
import { unknownWords } from '../support/documented-verbs.ts';

const FOLDERS = ['docs', 'docs/coming-from', 'docs/recipes'];
const PAGES = [
  'README.md',
  ...FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
];

/** Each `holdfast …` in code, without what a shell makes of it, and without the program that `dev` starts beside. */
function commandsOf(text: string): readonly string[] {
  const code = [...text.matchAll(/^```sh\n([^]*?)^```$/gm), ...text.matchAll(/`((?:npx )?holdfast [^`\n]+)`/g)];
  return code
    .map(([, inner = '']) => inner.replaceAll(/\\\n/g, ' '))
    .flatMap((inner) => inner.split('\n'))
    .flatMap(
      (line) =>
        /(?:^|(?<![ -]install)[ (])holdfast ([a-z].*)/
          .exec(line.replaceAll(/'[^']*'/g, 'TEXT'))?.[1]
          ?.split(/#| -- /)[0] ?? [],
    );
}

const commands = new Map(PAGES.map((page) => [page, commandsOf(readFileSync(join(ROOT, page), 'utf8'))]));

it.each([...commands].filter(([, named]) => named.length > 0))('%s', (_, named) => {
  const wrong = named.filter((command) => unknownWords(command.trim().split(/[ )]+/)).length > 0);
  expect(wrong).toEqual([]);
});

it('has looked at those that tell what to do', () => {
  for (const page of [
    'docs/troubleshooting.md',
    'docs/upgrading.md',
    'docs/operations.md',
    'docs/recipes/search-index.md',
  ])
    expect(commands.get(page)).not.toEqual([]);
});

it('would find a verb and a flag that are not there', () => {
  expect(unknownWords(['statsu'])).toEqual(['statsu']);
  expect(unknownWords(['outbox', 'replay', '--sinec', '2h'])).toEqual(['--sinec']);
});

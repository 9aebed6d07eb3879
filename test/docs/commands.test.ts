/** Pages that tell people what to run name verbs and flags that there are. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from '../house/source-files.ts';
import { unknownWords } from '../support/documented-verbs.ts';

const PAGES = [
  'docs/troubleshooting.md',
  'docs/upgrading.md',
  'docs/operations.md',
  'docs/coming-from/pg-boss.md',
  'docs/coming-from/graphile-worker.md',
  'docs/coming-from/nestjs-outbox.md',
];

/** Each `holdfast …` in code, without what a shell makes of it. */
function commandsOf(text: string): readonly string[] {
  const code = [...text.matchAll(/^```sh\n([^]*?)^```$/gm), ...text.matchAll(/`((?:npx )?holdfast [^`\n]+)`/g)];
  return code
    .map(([, inner = '']) => inner.replaceAll(/\\\n/g, ' '))
    .flatMap((inner) => inner.split('\n'))
    .flatMap(
      (line) => /(?:^|[ (])holdfast ([a-z].*)/.exec(line.replaceAll(/'[^']*'/g, 'TEXT'))?.[1]?.split('#')[0] ?? [],
    );
}

it.each(PAGES)('%s', (page) => {
  const commands = commandsOf(readFileSync(join(ROOT, page), 'utf8'));
  expect(commands.length).toBeGreaterThan(0);
  const wrong = commands.filter((command) => unknownWords(command.trim().split(/[ )]+/)).length > 0);
  expect(wrong).toEqual([]);
});

it('would find a verb and a flag that are not there', () => {
  expect(unknownWords(['statsu'])).toEqual(['statsu']);
  expect(unknownWords(['outbox', 'replay', '--sinec', '2h'])).toEqual(['--sinec']);
});

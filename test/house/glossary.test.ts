/**
 * One word for one thing: the words that docs/glossary.md has given up do not come back as names in the code.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { sourceFiles } from './source-files.ts';

const glossary = readFileSync(new URL('../../docs/glossary.md', import.meta.url), 'utf8');
const [, last = ''] = glossary.split('## Words that are not used');
const rows = last.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| Not '));
const givenUp = new Set(
  rows.flatMap((row) => (row.split('|')[1] ?? '').replace(/\(.*\)/, '').split(',')).map((word) => word.trim()),
);
/** Names that stand in tables or in what old runs have recorded. */
const RECORDED = /^(?:undoable|undoing|undone|HF_SAGA_UNDONE|mail|misfits|saga_mail\w*)$/;

/** `nextUndoOf` -> next, undo, of */
function wordsOf(name: string): readonly string[] {
  return name.split(/_|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/).map((word) => word.toLowerCase());
}

function withoutTexts(code: string): string {
  return code.replaceAll(
    /'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\\n]|\\.)*"|\/(?:[^/\\\n]|\\.)+\/[gimsuy]*/g,
    '',
  );
}

it('has a list of words', () => {
  expect(givenUp.size).toBeGreaterThan(10);
});

it('names nothing by a word that was given up', () => {
  const wrong = sourceFiles('src').flatMap(({ path, code }) =>
    [...withoutTexts(code).matchAll(/[A-Za-z_$][\w$]*/g)]
      .map(([name]) => name)
      .filter((name) => !RECORDED.test(name) && wordsOf(name).some((word) => givenUp.has(word)))
      .map((name) => `${path}: ${name}`),
  );
  expect([...new Set(wrong)]).toEqual([]);
});

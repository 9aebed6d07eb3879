/** docs/doctor.md shows the table of checks, all of it and nothing else, and each check is made to tell of something by some test. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { CheckNotes } from '../../src/operations/doctor/check-notes.ts';
import { CHECKS } from '../../src/operations/doctor/checks.ts';
import { ROOT, sourceFiles } from './source-files.ts';

const checks: readonly (readonly [string, CheckNotes])[] = Object.entries(CHECKS);
const row = (name: string, { levels, finds, why, mend }: CheckNotes): string =>
  `| \`${name}\` | ${levels.join(', ')} | ${finds} | ${why} | ${mend} |`;

it('the page has a row for each check, in their order', () => {
  const page = readFileSync(join(ROOT, 'docs/doctor.md'), 'utf8');
  const rows = page.split('\n').filter((line) => /^\| `\w+\./.test(line));
  expect(rows).toEqual(checks.map(([name, notes]) => row(name, notes)));
});

it('the texts can stand in a table', () => {
  const texts = checks.flatMap(([, { finds, why, mend }]) => [finds, why, mend]);
  expect(texts.filter((text) => text.includes('|') || text.includes('\n'))).toEqual([]);
});

it('each check is named by a test', () => {
  const tests = sourceFiles('test').filter(({ path }) => path.endsWith('.test.ts') && !path.startsWith('test/house/'));
  const text = tests.map(({ code }) => code).join('\n');
  expect(checks.map(([name]) => name).filter((name) => !text.includes(name))).toEqual([]);
});

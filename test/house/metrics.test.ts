/**
 * docs/operations.md lists the metrics that the code makes, all of them and no other, and they are named as `promtool check metrics`
 * wants it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT, sourceFiles } from './source-files.ts';

const MADE = /\b(counter|gauge|histogram)(?:<[^>(]*>)?\(\s*'(holdfast_\w+)',\s*(?:'([^']*)'|"([^"]*)")/g;
const made = sourceFiles('src').flatMap(({ code }) =>
  [...code.matchAll(MADE)].map(([, kind, name, help, quoted]) => ({ kind, name, help: help ?? quoted })),
);

it('the documented list of metrics is that of the code', () => {
  const page = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
  const listed = [...page.matchAll(/^\| `(holdfast_\w+)` \|/gm)].map(([, name]) => name);
  expect(new Set(listed)).toEqual(new Set(made.map(({ name }) => name)));
  expect(listed).toHaveLength(new Set(listed).size);
});

it('every metric is made by its name, where it can be found', () => {
  const calls = sourceFiles('src')
    .filter(({ path }) => !path.startsWith('src/runtime/'))
    .flatMap(({ path, code }) =>
      [...code.matchAll(/\b(?:metrics\.)?(?:counter|gauge|histogram)\((?!\s*'holdfast_)/g)].map(() => path),
    );
  expect(calls).toEqual([]);
});

it.each(made)('$name is a well-named $kind', ({ kind, name, help }) => {
  expect(help).toMatch(/\S/);
  expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
  expect(name?.endsWith('_total')).toBe(kind === 'counter');
  expect(name).not.toMatch(/_(count|sum|bucket|counter|gauge|histogram|summary)$/);
  // Base units only.
  expect(name).not.toMatch(/(^|_)(ms|milliseconds|minutes|hours|days|kilobytes|megabytes|mb|kb|percent)(_|$)/);
});

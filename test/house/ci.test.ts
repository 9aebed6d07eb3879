/**
 * What .ci/run names is there: the beginnings of names by which it picks tests would otherwise pick nothing, and nobody would see it.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseDocument } from 'yaml';
import { ROOT, sourceFiles } from './source-files.ts';

const script = readFileSync(join(ROOT, '.ci/run'), 'utf8');
const tests = sourceFiles('test').filter(({ path }) => path.endsWith('.test.ts'));

it.each(['sql', 'node'])('picks tests by names that there are: %s', (list) => {
  const [assignment = ''] = new RegExp(String.raw`^readonly ${list}=\([\s\S]*?^\)`, 'm').exec(script) ?? [];
  const words = execFileSync('bash', ['-c', `${assignment}; printf '%s\\n' "\${${list}[@]}"`], { encoding: 'utf8' });
  const picked = words.trim().split('\n');
  expect(picked.length).toBeGreaterThan(5);
  expect(picked.filter((start) => !tests.some(({ path }) => path.startsWith(start)))).toEqual([]);
});

it.each(['ci', 'release'])('is what the workflow %s runs, which is YAML', (name) => {
  const text = readFileSync(join(ROOT, `.github/workflows/${name}.yml`), 'utf8');
  expect(parseDocument(text).errors).toEqual([]);
  expect(text).toMatch(/^ +- run: \.ci\/run$/m);
});

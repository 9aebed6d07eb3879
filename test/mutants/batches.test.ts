/**
 * What may be believed of many mistakes that are tried in one process.
 */
import { describe, expect, it } from 'vitest';
import type { SourceFile } from '../house/source-files.ts';
import { batchesOf, groupsOf, verdictsOf, type Group, type GroupReport, type Trial } from './batches.ts';
import { importersOf } from './importers.ts';
import type { Mutant } from './mutant.ts';
import { resolveInVariant } from './variants.ts';

const mutant = (name: string, test: string, ...more: string[]): Mutant => ({
  name,
  file: 'src/a.ts',
  from: 'a',
  to: 'b',
  breaks: 'a promise',
  tests: [test, ...more],
});

const names = (mutants: readonly Mutant[]): readonly string[] => mutants.map(({ name }) => name);

describe('batches', () => {
  const many = Array.from({ length: 100 }, (_, index) => mutant(`m${index}`, `test/${index % 7}.test.ts`));

  it('have each mutant once, with those of its test file', () => {
    const batches = batchesOf(groupsOf(many), 2);
    expect(names(batches.flat().flatMap(({ mutants }) => mutants)).toSorted()).toEqual(names(many).toSorted());
    for (const { test, mutants } of batches.flat()) for (const each of mutants) expect(each.tests).toEqual([test]);
  });

  it('are one for each job at least, and never too large', () => {
    const sizes = (count: number, jobs: number): readonly number[] =>
      batchesOf(groupsOf(many.slice(0, count)), jobs).map((batch) =>
        batch.reduce((sum, { mutants }) => sum + mutants.length, 0),
      );
    expect(sizes(20, 2)).toEqual([10, 10]);
    expect(sizes(3, 2)).toEqual([2, 1]);
    expect(sizes(1, 2)).toEqual([1]);
    expect(sizes(100, 2)).toEqual([40, 40, 20]);
    expect(sizes(0, 2)).toEqual([]);
  });

  it('try one that names several test files with the first', () => {
    expect(groupsOf([mutant('m', 'test/a.test.ts', 'test/b.test.ts')]).map(({ test }) => test)).toEqual([
      'test/a.test.ts',
    ]);
  });
});

describe('the verdicts of a batch', () => {
  const [a, b, c] = [mutant('a', 't'), mutant('b', 't'), mutant('c', 't')];
  const group: Group = { test: 't', mutants: [a, b, c] };
  const report = (trials: Record<string, Trial>, control: Trial | null): GroupReport => ({
    group,
    trials: new Map(Object.entries(trials)),
    control,
  });
  const verdicts = (
    groups: readonly GroupReport[],
    stoppedAt: Mutant | null = null,
    outOfTime = false,
  ): Record<'noticed' | 'alone' | 'again', readonly string[]> => {
    const found = verdictsOf({ groups, stoppedAt, outOfTime });
    return {
      noticed: names(found.noticed),
      alone: names(found.alone),
      again: found.again.flatMap(({ mutants }) => names(mutants)),
    };
  };

  it('believe that a mistake was noticed, and have all else tried alone', () => {
    expect(verdicts([report({ a: 'noticed', b: 'passed', c: 'unclear' }, 'passed')])).toEqual({
      noticed: ['a'],
      alone: ['b', 'c'],
      again: [],
    });
    expect(verdicts([report({ a: 'noticed' }, 'passed')]).alone).toEqual(['b', 'c']);
  });

  it.each(['noticed', 'unclear'] as const)('believe nothing when the control is %s', (control) => {
    const all = report({ a: 'noticed', b: 'noticed', c: 'noticed' }, control);
    expect(verdicts([all])).toEqual({ noticed: [], alone: ['a', 'b', 'c'], again: [] });
  });

  it('have what was not controlled tried again, without the one at which the batch stopped', () => {
    expect(verdicts([report({ a: 'noticed' }, null)], b)).toEqual({ noticed: [], alone: ['b'], again: ['a', 'c'] });
  });

  it('have all of it tried alone where nobody knows at what it stopped', () => {
    expect(verdicts([report({ a: 'noticed' }, null)])).toEqual({ noticed: [], alone: ['a', 'b', 'c'], again: [] });
  });

  it('blame nobody when the time was over', () => {
    expect(verdicts([report({ a: 'noticed' }, null)], b, true)).toEqual({
      noticed: [],
      alone: [],
      again: ['a', 'b', 'c'],
    });
  });
});

describe('what a mistake reaches', () => {
  const file = (path: string, ...imports: readonly string[]): SourceFile => {
    const text = imports.map((each) => `import '${each}';`).join('\n');
    return { path, text, code: text };
  };
  const files = [file('src/a.ts'), file('src/b.ts', './a.ts'), file('test/b.test.ts', '../src/b.ts'), file('src/c.ts')];

  it('is what imports its file, directly or not', () => {
    expect([...importersOf(files)('src/a.ts')]).toEqual(['src/a.ts', 'src/b.ts', 'test/b.test.ts']);
    expect([...importersOf(files)('src/c.ts')]).toEqual(['src/c.ts']);
  });

  it('is everything where the file is none that is imported', () => {
    expect(importersOf(files)('migrations/0001.sql').size).toBe(files.length);
  });

  it('is loaded from the variant, and all else from the project', () => {
    const variants = [{ folder: '/v/1', own: new Set(['src/a.ts', 'src/b.ts']) }];
    const resolved = (specifier: string, importer: string): string | null =>
      resolveInVariant(specifier, importer, '/project', variants);
    expect(resolved('./a.ts', '/v/1/src/b.ts')).toBe('/v/1/src/a.ts');
    expect(resolved('../other/c.ts', '/v/1/src/b.ts')).toBe('/project/other/c.ts');
    expect(resolved('./a.ts', '/v/10/src/b.ts')).toBe(null);
    expect(resolved('pg', '/v/1/src/b.ts')).toBe(null);
  });
});

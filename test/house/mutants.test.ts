/**
 * The list of planted mistakes keeps up with the code: what each replaces is there once, and so are its tests.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MUTANTS } from '../mutants/list/all.ts';
import { plantedIn, sampleOf } from '../mutants/mutant.ts';
import { ROOT } from './source-files.ts';

describe('planted mistakes', () => {
  it('have a name of their own', () => {
    const names = MUTANTS.map(({ name }) => name);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });

  it('replace what is there, by something else', () => {
    const wrong = MUTANTS.flatMap((mutant) => {
      try {
        const text = readFileSync(join(ROOT, mutant.file), 'utf8');
        return plantedIn(text, mutant) === text ? [`The mutant ${mutant.name} changes nothing.`] : [];
      } catch (error) {
        return [(error as Error).message];
      }
    });
    expect(wrong).toEqual([]);
  });

  it('name tests that there are', () => {
    const missing = MUTANTS.flatMap(({ name, tests }) =>
      tests.filter((test) => !existsSync(join(ROOT, test))).map((test) => `${name}: ${test}`),
    );
    expect(missing).toEqual([]);
    expect(MUTANTS.filter(({ tests }) => tests.length === 0)).toEqual([]);
  });
});

describe('a sample of them', () => {
  const all = Array.from({ length: 50 }, (_, index) => ({ name: `room/mutant-${index}` }));
  const days = Array.from({ length: 400 }, (_, index) => `day ${index}`);

  it('is the same on one day, and has each of them as often as any other', () => {
    expect(sampleOf(all, 10, 'day 1')).toEqual(sampleOf(all.toReversed(), 10, 'day 1'));
    const counts = new Map(all.map(({ name }) => [name, 0]));
    for (const day of days)
      for (const { name } of sampleOf(all, 10, day)) counts.set(name, (counts.get(name) ?? 0) + 1);
    // 80 are expected; the bounds are five standard deviations away.
    for (const count of counts.values()) expect(Math.abs(count - 80)).toBeLessThan(40);
  });

  it('is all of them where there are no more', () => {
    expect(sampleOf(all, 100, 'x')).toHaveLength(50);
  });
});

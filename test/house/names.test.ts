/**
 * One name, one thing: no two exported declarations of src bear the same name. The exceptions are doors: operations/on-demand.ts,
 * on-demand-runs.ts and on-demand-jobs.ts repeat the names of the functions that they load, and each is checked to be the very function it names.
 */
import { describe, expect, it } from 'vitest';
import { sourceFiles } from './source-files.ts';

const DOORS = ['src/operations/on-demand.ts', 'src/operations/on-demand-runs.ts', 'src/operations/on-demand-jobs.ts'];
const DECLARED =
  /^export (?:declare )?(?:async )?(?:abstract )?(?:function\*?|class|interface|type|const|enum) (\w+)/gm;

const files = sourceFiles('src');
const namesIn = (code: string): ReadonlySet<string> =>
  new Set([...code.matchAll(DECLARED)].map(([, name = '']) => name));

describe('exported names', () => {
  it('are declared in one place', () => {
    const places = new Map<string, string[]>();
    for (const { path, code } of files.filter((file) => !DOORS.includes(file.path))) {
      for (const name of namesIn(code)) places.set(name, [...(places.get(name) ?? []), path]);
    }
    expect(places.size).toBeGreaterThan(500);
    expect([...places].filter(([, paths]) => paths.length > 1)).toEqual([]);
  });

  it.each(DOORS)('of the door %s are those of the functions that it loads', (path) => {
    const door = files.find((file) => file.path === path)?.code ?? '';
    const names = [...namesIn(door)];
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) {
      const [, body = ''] = new RegExp(String.raw`^export async function ${name}\(([\s\S]*?)^}`, 'm').exec(door) ?? [];
      const [, from = '', called] = /^ {2}return \(await import\('\.\/([^']+)'\)\)\.(\w+)\(/m.exec(body) ?? [];
      expect({ name, called }).toEqual({ name, called: name });
      const loaded = files.find((file) => file.path === `src/operations/${from}`)?.code ?? '';
      expect({ name, from, isThere: namesIn(loaded).has(name) }).toEqual({ name, from, isThere: true });
    }
  });
});

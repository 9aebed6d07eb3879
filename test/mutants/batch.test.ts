/**
 * What a batch says of mistakes of every kind, in a small project: only what a test has noticed is noticed.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT } from '../house/source-files.ts';
import { tryBatch } from './batch.ts';
import { groupsOf, verdictsOf, type Verdicts } from './batches.ts';
import type { Mutant } from './mutant.ts';

const FILES = {
  'src/sum.ts': `export const sum = (a: number, b: number): number => a + b;
export const calls: string[] = [];
`,
  'src/note.ts': `import { calls } from './sum.ts';
export const note = (text: string): void => { calls.push(text); };
`,
  'test/sum.test.ts': `import { expect, it } from 'vitest';
import { sum } from '../src/sum.ts';
it('waits for nothing', async () => { await Promise.resolve(); });
it('adds', () => { expect(sum(1, 2)).toBe(3); });
it('is not spoiled', () => { expect((globalThis as { spoiled?: true }).spoiled).toBeUndefined(); });
`,
  'test/note.test.ts': `import { expect, it } from 'vitest';
import { note } from '../src/note.ts';
import { calls } from '../src/sum.ts';
it('notes once', () => { note('a'); expect(calls).toEqual(['a']); });
`,
};

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-mutants-'));
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const sum = (name: string, to: string): Mutant => ({
  name,
  file: 'src/sum.ts',
  from: 'a + b;',
  to,
  breaks: 'sums',
  tests: ['test/sum.test.ts'],
});
const note = (name: string, to: string): Mutant => ({
  name,
  file: 'src/note.ts',
  from: 'calls.push(text);',
  to,
  breaks: 'notes',
  tests: ['test/note.test.ts'],
});

async function verdicts(...mutants: readonly Mutant[]): Promise<Record<keyof Verdicts, readonly string[]>> {
  const report = await tryBatch(groupsOf(mutants), {
    project: { folder, paths: Object.keys(FILES) },
    reached: (file) => new Set(file === 'src/sum.ts' ? Object.keys(FILES) : [file, 'test/note.test.ts']),
    needsServers: () => false,
    env: {},
    limitMs: 15_000,
    untilMs: Infinity,
  });
  const { noticed, alone, again } = verdictsOf(report);
  const names = (those: readonly Mutant[]): readonly string[] => those.map(({ name }) => name);
  return { noticed: names(noticed), alone: names(alone), again: again.flatMap((group) => names(group.mutants)) };
}

it('tells what was noticed from what passed and from what could not be loaded, in any order', async () => {
  const mutants = [
    sum('wrong', 'a - b;'),
    sum('harmless', 'b + a;'),
    sum('not loaded', 'a + ;'),
    sum('thrown while loading', 'a + b; throw new Error("no");'),
    sum('wrong as well', '4;'),
  ];
  expect(await verdicts(...mutants)).toEqual({
    noticed: ['wrong', 'wrong as well'],
    alone: ['harmless', 'not loaded', 'thrown while loading'],
    again: [],
  });
  expect((await verdicts(...mutants.toReversed())).noticed).toEqual(['wrong as well', 'wrong']);
});

it('believes nothing where a mistake has spoiled the process for what comes after it', async () => {
  const spoils = sum('spoils', 'a + b; (globalThis as { spoiled?: true }).spoiled = true;');
  expect(await verdicts(spoils, sum('harmless', 'b + a;'), sum('wrong', 'a - b;'))).toEqual({
    noticed: [],
    alone: ['spoils', 'harmless', 'wrong'],
    again: [],
  });
});

it('has what came after a hang, or after the end of the process, tried again', async () => {
  const hangs = sum('hangs', 'a + b; for (;;);');
  expect(await verdicts(sum('wrong', 'a - b;'), hangs, note('silent', ''))).toEqual({
    noticed: [],
    alone: ['hangs'],
    again: ['wrong', 'silent'],
  });
  const ends = sum('ends', 'a + b; process.kill(process.pid, "SIGKILL");');
  expect(await verdicts(note('silent', ''), ends, sum('wrong', 'a - b;'))).toEqual({
    noticed: ['silent'],
    alone: ['ends'],
    again: ['wrong'],
  });
});

it('believes nothing where what variants share keeps traces', async () => {
  expect(
    await verdicts(note('twice', 'calls.push(text, text);'), note('harmless', 'calls.splice(0, 9, text);')),
  ).toEqual({
    noticed: [],
    alone: ['twice', 'harmless'],
    again: [],
  });
});

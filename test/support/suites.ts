/**
 * Which of the three suites a test file belongs to. The answer is found in the file itself, so there is no list to keep.
 *
 * - `faults`: what stands in test/faults. Parts are killed, stopped and cut off while they work.
 * - `integration`: what needs a server of global-setup.ts or starts a program, directly or by way of a helper; and
 *   the reference sagas, which go through every crash point and take minutes.
 * - `unit`: everything else. It needs nothing but this process, and is done within seconds.
 */
import { relativeImports, sourceFiles, type SourceFile } from '../house/source-files.ts';

export const SUITES = ['unit', 'integration', 'faults'] as const;
export type Suite = (typeof SUITES)[number];

const NEEDS_SERVER = /\binject\b[^;]*\}\s*from 'vitest'|\bfrom '[./]*\/src\/servers\//;
const STARTS_PROGRAM = /\bfrom 'node:child_process'/;

/** The test files of every suite, as paths from the root of the project. */
export function testSuites(): Readonly<Record<Suite, readonly string[]>> {
  const files = new Map(sourceFiles('test', 'demo', '.ci').map((file) => [file.path, file]));
  const suites: Record<Suite, string[]> = { unit: [], integration: [], faults: [] };
  for (const path of files.keys()) if (path.endsWith('.test.ts')) suites[suiteOf(path, files)].push(path);
  return suites;
}

export function suiteOf(path: string, files: ReadonlyMap<string, SourceFile>): Suite {
  if (path.startsWith('test/faults/')) return 'faults';
  if (path.startsWith('test/sagas/')) return 'integration';
  return reach(path, files).some(({ code }) => NEEDS_SERVER.test(code) || STARTS_PROGRAM.test(code))
    ? 'integration'
    : 'unit';
}

/** The file and all helpers that it imports, directly or not. */
function reach(path: string, files: ReadonlyMap<string, SourceFile>): readonly SourceFile[] {
  const found = new Map<string, SourceFile>();
  const waiting = [path];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const file = files.get(next);
    if (file === undefined || found.has(next)) continue;
    found.set(next, file);
    waiting.push(...relativeImports(file));
  }
  return [...found.values()];
}

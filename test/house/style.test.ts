/**
 * House style that no linter checks.
 */
import { describe, expect, it } from 'vitest';
import { linesWhere, sourceFiles } from './source-files.ts';

const MOST_LINES = 400;
const everything = sourceFiles('src', 'test', 'bench', 'demo', 'sagas', 'examples');
const src = sourceFiles('src');

describe('style', () => {
  it(`keeps files under ${MOST_LINES} lines`, () => {
    const lengths = everything.map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }));
    expect(lengths.filter(({ lines }) => lines > MOST_LINES)).toEqual([]);
  });

  it('opens every source file with what it is for', () => {
    const silent = src.filter(({ text }) => !text.replace(/^#!.*\n/, '').startsWith('/**'));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  it('keeps no lists of users by hand, which nobody keeps right', () => {
    expect(linesWhere(src, (line) => /(?:^|\s)Used by\b/.test(line))).toEqual([]);
  });

  it('leaves no notes to self', () => {
    const note = /\b(?:T[O]DO|FIX[M]E|X[X]X|HAC[K])\b/;
    expect(linesWhere(everything, (line) => note.test(line))).toEqual([]);
  });

  it('leaves no test alone or asleep', () => {
    const skipped = new RegExp(String.raw`\b(it|test|describe)\.(only|todo|skip)\(`);
    expect(linesWhere(sourceFiles('test'), (line) => skipped.test(line))).toEqual([]);
  });

  it('has the sizes drawn that its properties ask for', () => {
    // Without `size`, fast-check stops at ten elements, whatever the greatest length is.
    const bounded = /\{[^{}]*\bmax(?:Length|Keys): ([\d_]+)[^{}]*\}/g;
    const small = sourceFiles('test')
      .filter(({ code }) => code.includes("from 'fast-check'"))
      .flatMap(({ path, code }) =>
        [...code.matchAll(bounded)]
          .filter(([options, most = '']) => Number(most.replaceAll('_', '')) > 10 && !options.includes("size: 'max'"))
          .map(([options]) => `${path}: ${options}`),
      );
    expect(small).toEqual([]);
  });

  it('says no `any` in its types', () => {
    const any = /[:<|&,(]\s*any\b(?!\s*(?:of|\w))|\bas any\b/;
    const wrong = src.flatMap(({ path, code }) =>
      code.split('\n').flatMap((line, index) => (any.test(withoutTexts(line)) ? [`${path}:${index + 1}`] : [])),
    );
    expect(wrong).toEqual([]);
  });

  it('gets its loggers and metrics by way of what makes them harmless', () => {
    const raw =
      /\b(?:silentLogger|noopMetrics)\b|(?:^|[^(])\boptions\.(?:log|metrics)\s*\?\?|options\.on(?:Idle)?Error\?\./;
    const mayUse = (path: string): boolean => path.startsWith('src/runtime/') || path.startsWith('src/testing/');
    expect(
      linesWhere(
        src.filter(({ path }) => !mayUse(path)),
        (line) => raw.test(line),
      ),
    ).toEqual([]);
  });

  it('limits times by signals that outlive the garbage collector', () => {
    // runtime/time-limit.ts says why.
    const found = src.flatMap(({ path, code }) => (/AbortSignal\.timeout\(/.test(code) ? [path] : []));
    expect(found).toEqual([]);
  });

  it('exports by name', () => {
    expect(linesWhere(src, (line) => /^export default\b/.test(line))).toEqual([]);
  });

  it('names files in relative imports', () => {
    const bare = /\bfrom '\.[^']*(?<!\.tsx?|\.json)'/;
    expect(linesWhere(everything, (line) => bare.test(line))).toEqual([]);
  });
});

function withoutTexts(line: string): string {
  return line.replaceAll(/'[^']*'|`[^`]*`|"[^"]*"|\/\/.*$|^.*`.*$/g, "''");
}

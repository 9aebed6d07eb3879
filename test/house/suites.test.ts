/**
 * The suites: each test file is run by exactly one of them, and the unit tests need nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import config from '../../vitest.config.ts';
import { suiteOf, SUITES, testSuites } from '../support/suites.ts';
import { ROOT, sourceFiles, type SourceFile } from './source-files.ts';

const projects = (config.test?.projects ?? []) as readonly {
  readonly test: {
    readonly name: string;
    readonly include: readonly string[];
    readonly globalSetup?: readonly string[];
  };
}[];
const files = sourceFiles('test').filter(({ path }) => path.endsWith('.test.ts'));

describe('the suites', () => {
  it('are those that package.json has scripts for', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
    const run = Object.entries(scripts).flatMap(([name, text]) => {
      const project = /vitest run --project (\w+)$/.exec(String(text))?.[1];
      return project === undefined ? [] : [[name.replace('test:', ''), project]];
    });
    expect(run).toEqual(SUITES.map((suite) => [suite, suite]));
    expect(projects.map(({ test }) => test.name)).toEqual([...SUITES]);
  });

  it('have each test file once', () => {
    const run = projects.flatMap(({ test }) => test.include);
    expect(run.toSorted()).toEqual(files.map(({ path }) => path).toSorted());
  });

  it('all have something to do', () => {
    for (const suite of SUITES) expect(testSuites()[suite].length).toBeGreaterThan(10);
  });

  it('start servers for all but the unit tests', () => {
    expect(projects.filter(({ test }) => test.globalSetup === undefined).map(({ test }) => test.name)).toEqual([
      'unit',
    ]);
  });
});

describe('the suite of a file', () => {
  // In parts, so that this file is not taken for one that imports them.
  const importOf = (module: string): string => `import { inject } from '${module}';`;
  const source = (path: string, module: string): [string, SourceFile] => {
    const code = importOf(module);
    return [path, { path, code, text: code }];
  };
  const helpers = [source('test/a/servers.ts', 'vitest'), source('test/a/program.ts', 'node:child_process')];

  it.each([
    ['unit', 'test/a/a.test.ts', 'node:fs'],
    ['integration', 'test/a/a.test.ts', './servers.ts'],
    ['integration', 'test/a/a.test.ts', './program.ts'],
    ['integration', 'test/a/a.test.ts', '../../src/servers/redis.ts'],
    ['faults', 'test/faults/a.test.ts', 'node:fs'],
  ])('is %s for %s with an import of %s', (suite, path, module) => {
    expect(suiteOf(path, new Map([source(path, module), ...helpers]))).toBe(suite);
  });
});

/**
 * Pages that nobody writes by hand, and that are kept in the repository: test/docs holds them against what they are made of.
 */
import { readFileSync } from 'node:fs';
import { createStyle } from '../../src/cli/output/style.ts';
import { createProgram } from '../../src/cli/program.ts';
import { cliReference } from './cli-reference.ts';
import { readIndex } from './index-page.ts';
import { llmsIndex } from './llms.ts';
import { dependenciesPage } from './dependencies-page.ts';

/** Their texts, by paths from the root of the project. */
export function madeFiles(): ReadonlyMap<string, string> {
  const nobody = (): void => {};
  const ui = { style: createStyle(false), width: 100 };
  const program = createProgram({ ui, print: nobody, ended: nobody, errOutput: nobody });
  const index = readIndex(readFileSync(new URL('../../docs/README.md', import.meta.url), 'utf8'));
  return new Map([
    ['docs/cli.md', cliReference(program)],
    ['docs/dependencies.md', dependenciesPage()],
    ['docs/llms.txt', llmsIndex(index)],
  ]);
}

/**
 * A kind of calls is one file of src/saga/kinds: nothing else compares the name of one. docs/architecture.md tells why.
 */
import { describe, expect, it } from 'vitest';
import { sourceFiles } from './source-files.ts';

const NAMES = ['step', 'transaction', 'command', 'emit', 'child', 'sleep', 'wait'];
const quoted = NAMES.map((name) => `'${name}'`).join('|');
const COMPARED = new RegExp(
  `\\bkind\\)? *[!=]== *(${quoted})|(${quoted}) *[!=]== *[\\w.?]*\\bkind\\b|\\bcase (${quoted}):`,
);
/** A message that a child sends to its parent is of this kind; of the same name by chance. */
const OF_MESSAGES = /^\s*case 'child':/;

const compares = (line: string): boolean => COMPARED.test(line) && !OF_MESSAGES.test(line);

describe('kinds of calls', () => {
  it('are told apart by the table alone', () => {
    const wrong = sourceFiles('src')
      .filter(({ path }) => /^src\/(saga|operations|cli)\//.test(path) && !path.startsWith('src/saga/kinds/'))
      .flatMap(({ path, code }) =>
        code.split('\n').flatMap((line, index) => (compares(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
      );
    expect(wrong, 'ask kindOf(call) of src/saga/kinds/table.ts').toEqual([]);
  });

  it('would be found where one is compared', () => {
    expect(
      ["if (step?.kind === 'command') return;", "case 'sleep':", "('emit' === call.kind)"].filter(compares),
    ).toHaveLength(3);
    expect(["role === 'command'", "case 'child':", "kind: 'step'"].filter(compares)).toEqual([]);
  });

  it('have a file each', () => {
    const files = new Set(sourceFiles('src').map(({ path }) => path));
    expect(NAMES.filter((name) => !files.has(`src/saga/kinds/${name}.ts`))).toEqual([]);
  });
});

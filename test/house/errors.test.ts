/**
 * docs/errors.md and src/errors.ts tell of the same errors.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../../src/errors.ts';
import { ROOT, sourceFiles } from './source-files.ts';

const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
const sections = page.split(/^### /m).slice(1);
const titleOf = (section: string): string => section.slice(0, section.indexOf('\n')).trim();

describe('docs/errors.md', () => {
  it('has a section for each code, in the same order, and no other', () => {
    expect(sections.map(titleOf)).toEqual(Object.keys(ERROR_CODES));
  });

  it.each(sections.map((section) => [titleOf(section), section]))(
    'says of %s what happened and what to do',
    (_, section) => {
      expect(section).toMatch(/^What happened: \S/m);
      expect(section).toMatch(/^What to do: \S/m);
    },
  );
});

describe('src/errors.ts', () => {
  it('has no code that nothing raises', () => {
    const raised = sourceFiles('src').filter(({ path }) => path !== 'src/errors.ts');
    const idle = Object.keys(ERROR_CODES).filter((code) => !raised.some((file) => file.code.includes(`'${code}'`)));
    // PermanentError is raised by users' handlers.
    expect(idle.filter((code) => code !== 'HF_PERMANENT')).toEqual([]);
  });
});

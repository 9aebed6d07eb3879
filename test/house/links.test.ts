/**
 * Links of the pages: to what the package holds as well, because users read them there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './source-files.ts';

const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: readonly string[] };
/** npm adds these by itself. */
const packed = [...files, 'README.md', 'LICENSE', 'package.json'];
const pages = ['README.md', 'CHANGELOG.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)].filter(
  (name) => name.endsWith('.md'),
);

function linksOf(page: string): readonly string[] {
  const text = readFileSync(join(ROOT, page), 'utf8').replaceAll(/```[\s\S]*?```/g, '');
  return [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => normalize(join(dirname(page), target)));
}

describe('links', () => {
  it('are there at all', () => {
    expect(pages.flatMap(linksOf).length).toBeGreaterThan(20);
  });

  it.each(pages)('of %s lead to what is there, in the repository and in the package', (page) => {
    const dead = linksOf(page).filter((target) => !existsSync(join(ROOT, target)));
    expect(dead).toEqual([]);
    const outside = linksOf(page).filter(
      (target) => !packed.some((entry) => target === entry || target.startsWith(`${entry}/`)),
    );
    expect(outside).toEqual([]);
  });
});

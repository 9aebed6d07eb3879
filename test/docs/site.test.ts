/**
 * The documentation as a whole: what is made of it is current, every page is in the list of pages, and every link leads somewhere, also
 * on the site. (test/api holds the API reference against the public surface.)
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { entriesIn, readIndex } from '../../.ci/site/index-page.ts';
import { llmsFull } from '../../.ci/site/llms.ts';
import { madeFiles } from '../../.ci/site/made-files.ts';
import { anchorsOf, rewriteLinks } from '../../.ci/site/markdown.ts';
import { linkTo, sidebarOf } from '../../.ci/site/sidebar.ts';
import { sitePathOf, stageSite } from '../../.ci/site/stage.ts';
import { ROOT } from '../house/source-files.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const index = readIndex(read('docs/README.md'));

describe('what is made of the code and the pages', () => {
  it.each([...madeFiles()])('is current: %s (`npm run reference` writes it)', (path, text) => {
    expect(read(path)).toBe(text);
  });

  it('tells of every verb and every flag', () => {
    const page = read('docs/cli.md');
    for (const verb of ['migrate status', 'saga resolve', 'parked edit', 'outbox replay', 'doctor'])
      expect(page).toContain(`\n## holdfast ${verb}\n`);
    expect(page).toContain('`HOLDFAST_DATABASE_URL`, `DATABASE_URL`');
  });

  it('has the text of every page for those that read all of it', () => {
    const full = llmsFull(index, (path) => (path.endsWith('.md') ? read(path) : undefined));
    for (const path of ['README.md', 'docs/sagas.md', 'docs/cli.md']) expect(full).toContain(read(path).trim());
  });
});

describe('the list of pages', () => {
  it('has every page of docs', () => {
    const listed = new Set(entriesIn(index).map(({ target }) => posix.join('docs', target)));
    const folders = ['docs', 'docs/coming-from', 'docs/recipes'];
    const pages = folders.flatMap((folder) =>
      readdirSync(join(ROOT, folder), { withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name.endsWith('.md'))
        .map(({ name }) => `${folder}/${name}`),
    );
    expect(pages.filter((page) => page !== 'docs/README.md' && !listed.has(page))).toEqual([]);
  });

  it('becomes the navigation of the site', () => {
    expect(sidebarOf(index, []).map(({ text }) => text)).toEqual(index.map(({ title }) => title));
    expect(linkTo('sagas.md')).toBe('/sagas');
    expect(linkTo('adr/README.md')).toBe('/adr/');
    expect(linkTo('../README.md')).toBe('/overview');
    expect(linkTo('operations.md#configuration')).toBe('/operations#configuration');
  });
});

describe('the site', () => {
  const { pages, faults } = stageSite([]);

  it('has no link to a page or a heading that is not there', () => {
    expect(pages.size).toBeGreaterThan(60);
    expect(faults).toEqual([]);
  });

  it('shows the code that pages link to', () => {
    expect(sitePathOf('sagas/transfer-money.ts')).toBe('source/sagas/transfer-money.md');
    expect(pages.get('source/sagas/transfer-money.md')).toContain(read('sagas/transfer-money.ts'));
    expect(pages.get('sagas.md')).toContain('](./source/sagas/transfer-money.md)');
  });

  it('rewrites links of the text, and none in code', () => {
    const text = 'a [b](c.md)\n\n```md\n[b](c.md)\n```\n\n`[b](c.md)` [d](e.md#f)';
    expect(rewriteLinks(text, (target) => target.toUpperCase())).toBe(
      'a [b](C.MD)\n\n```md\n[b](c.md)\n```\n\n`[b](c.md)` [d](E.MD#F)',
    );
  });

  it('has the anchors that GitHub makes', () => {
    const page = '# A\n## Locks (HF_LOCK_WAIT)\n## Same\n## Same\n## `code` & more\n```sh\n# no heading\n```';
    expect([...anchorsOf(page)]).toEqual(['a', 'locks-hf_lock_wait', 'same', 'same-1', 'code--more']);
  });
});

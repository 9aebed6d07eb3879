/**
 * The documentation as a site, and its files that are made.
 *
 *   node .ci/bootstrap.mjs .ci/site/main.ts            builds the site into .site/dist (`npm run docs`). DOCS_BASE is the path where it
 *                                                      will stand, such as /holdfast/; default: /. Fails for a link that leads nowhere
 *   node .ci/bootstrap.mjs .ci/site/main.ts reference  writes docs/cli.md, docs/dependencies.md and docs/llms.txt (`npm run reference`)
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { apiReference, type ApiPage } from './api-reference.ts';
import { readIndex } from './index-page.ts';
import { llmsFull, llmsIndex } from './llms.ts';
import { madeFiles } from './made-files.ts';
import { linkTo, sidebarOf } from './sidebar.ts';
import { sitePathOf, stageSite } from './stage.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SITE = join(ROOT, '.site');
const PAGES = join(SITE, 'pages');

if (process.argv[2] === 'reference') writeReference();
else buildSite();

function writeReference(): void {
  for (const [path, text] of madeFiles()) writeFileSync(join(ROOT, path), text);
}

function buildSite(): void {
  rmSync(SITE, { recursive: true, force: true });
  const api = makeApi();
  const { pages, files, faults } = stageSite(api);
  for (const [path, text] of pages) write(join(PAGES, path), text);
  for (const [path, source] of files) copy(source, path);
  cpSync(join(ROOT, '.ci/site/vitepress'), join(PAGES, '.vitepress'), { recursive: true });
  cpSync(join(ROOT, '.ci/site/slug.ts'), join(PAGES, '.vitepress/slug.ts'));
  const index = readIndex(readFileSync(join(ROOT, 'docs/README.md'), 'utf8'));
  write(join(PAGES, '.vitepress/sidebar.json'), JSON.stringify(sidebarOf(index, api)));
  const pageOf = (path: string): string | undefined => {
    const place = sitePathOf(path);
    return place === undefined ? undefined : pages.get(place);
  };
  write(join(PAGES, 'public/llms-full.txt'), llmsFull(index, pageOf));
  const page = (target: string): string => `.${linkTo(target)}`.replace(/(?<=[^/])$/, '.html');
  write(join(PAGES, 'public/llms.txt'), llmsIndex(index, page));
  if (faults.length > 0) {
    console.error(faults.join('\n'));
    process.exitCode = 1;
    return;
  }
  const vitepress = join(ROOT, 'node_modules/vitepress/bin/vitepress.js');
  const { status } = spawnSync(process.execPath, [vitepress, 'build', PAGES], { cwd: ROOT, stdio: 'inherit' });
  process.exitCode = status ?? 1;
  if (status === 0) console.log(`The site is in ${join(SITE, 'dist')}.`);
}

function makeApi(): readonly ApiPage[] {
  const folder = join(SITE, 'api');
  mkdirSync(folder, { recursive: true });
  const { status } = spawnSync(process.execPath, [join(ROOT, '.ci/api.mjs'), folder], { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0) throw new Error('The public surface could not be read; .ci/api.mjs says why above.');
  return apiReference(join(folder, 'models'));
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function copy(source: string, path: string): void {
  mkdirSync(dirname(join(PAGES, path)), { recursive: true });
  cpSync(join(ROOT, source), join(PAGES, path));
}

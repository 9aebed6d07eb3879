/**
 * The pages of the site, put together in memory from the files of the repository: links go to where their target is on the site, and
 * those that go nowhere are faults.
 */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { anchorsOf, rewriteLinks } from './markdown.ts';
import type { ApiPage } from './api-reference.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Pages of the root, by their names on the site. docs/README.md is its first page. */
const OF_ROOT: Readonly<Record<string, string>> = {
  'README.md': 'overview.md',
  'CHANGELOG.md': 'changelog.md',
  'CONTRIBUTING.md': 'contributing.md',
  'SECURITY.md': 'security.md',
};
/** Folders whose code pages link to. Each file is shown on a page of its own. */
const CODE_FOLDERS = ['sagas', 'examples'];

export interface Site {
  /** Texts by paths below the site's root. */
  readonly pages: ReadonlyMap<string, string>;
  /** Files that pages link to or show, by paths below the site's root, with where they are in the repository. */
  readonly files: ReadonlyMap<string, string>;
  /** Links that lead nowhere, a line each. */
  readonly faults: readonly string[];
}

/** Where a file of the repository is on the site; undefined when it is not a page. */
export function sitePathOf(path: string): string | undefined {
  const ofRoot = OF_ROOT[path];
  if (ofRoot !== undefined) return ofRoot;
  if (path.startsWith('docs/') && path.endsWith('.md'))
    return path === 'docs/README.md' ? 'index.md' : path.slice('docs/'.length).replace(/README\.md$/, 'index.md');
  if (!CODE_FOLDERS.includes(path.split('/')[0] ?? '')) return undefined;
  if (path.endsWith('.ts')) return `source/${path.replace(/\.ts$/, '.md')}`;
  return posix.extname(path) === '' ? `source/${path}/index.md` : undefined;
}

export function stageSite(api: readonly ApiPage[]): Site {
  const sources = new Map<string, string>();
  for (const path of [...Object.keys(OF_ROOT), ...markdownBelow('docs')]) sources.set(path, read(path));
  for (const folder of CODE_FOLDERS) for (const [path, text] of codePages(folder)) sources.set(path, text);
  const files = new Map<string, string>();
  const faults: string[] = [];
  const pages = new Map<string, string>();
  for (const [path, text] of sources) {
    const place = sitePathOf(path) ?? path;
    pages.set(
      place,
      rewriteLinks(text, (target) => siteLink(path, place, target)),
    );
  }
  for (const { name, text } of api) pages.set(`reference/api/${name}.md`, text);
  if (api.length > 0) pages.set('reference/api/index.md', apiIndex(api));
  for (const [place, text] of pages) faults.push(...deadAnchors(place, text, pages));
  return { pages, files, faults };

  /** Targets stay relative; files that are no pages are copied, and linked from the root of the site. */
  function siteLink(path: string, place: string, target: string): string {
    if (/^(?:[a-z]+:|#)/.test(target)) return target;
    const [, file = '', anchor = ''] = /^([^#]*)(#.*)?$/.exec(target) ?? [];
    const aim = posix.join(posix.dirname(path), file).replace(/\/$/, '');
    const known = sitePathOf(aim);
    if (known !== undefined && (sources.has(aim) || existsSync(join(ROOT, aim))))
      return `${relative(place, known)}${anchor}`;
    if (existsSync(join(ROOT, aim)) && statSync(join(ROOT, aim)).isFile()) {
      const isPicture = /\.(?:png|svg)$/.test(aim);
      const copy = isPicture ? aim.replace(/^docs\//, '') : `public/files/${aim}`;
      files.set(copy, aim);
      return isPicture ? relative(place, copy) : copy.replace('public', '');
    }
    faults.push(`${path}: ${target} is not there`);
    return target;
  }
}

function relative(from: string, to: string): string {
  const path = posix.relative(posix.dirname(from), to);
  return path.startsWith('.') ? path : `./${path}`;
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function markdownBelow(folder: string): readonly string[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true }).map((name) => String(name).replaceAll('\\', '/'));
  // The reports of the surface are for reviews; the site has it from its docstrings.
  return names.filter((name) => name.endsWith('.md') && !name.startsWith('api/')).map((name) => `${folder}/${name}`);
}

/** A page for each file of code, and one that lists them. */
function codePages(folder: string): readonly (readonly [path: string, text: string])[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => String(name).replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))
    .toSorted();
  const shown = names.map(
    (name) => [`${folder}/${name}`, `# ${folder}/${name}\n\n\`\`\`ts\n${read(`${folder}/${name}`)}\`\`\`\n`] as const,
  );
  const list = names.map((name) => `- [${name}](${folder}/${name})`).join('\n');
  return [[folder, `# ${folder}\n\n${list}\n`], ...shown];
}

function apiIndex(api: readonly ApiPage[]): string {
  const lines = api.map(({ name, title, partOf }) => `${partOf === undefined ? '' : '  '}- [${title}](./${name}.md)`);
  return `# API\n\nWhat each entry point exports, made of the docstrings in the code.\n\n${lines.join('\n')}\n`;
}

function deadAnchors(place: string, text: string, pages: ReadonlyMap<string, string>): readonly string[] {
  const faults: string[] = [];
  rewriteLinks(text, (target) => {
    const [, file = '', anchor = ''] = /^([^#:]*)#(.+)$/.exec(target) ?? [];
    if (anchor === '') return target;
    const aim = file === '' ? place : posix.join(posix.dirname(place), file);
    const page = pages.get(aim);
    if (page !== undefined && !anchorsOf(page).has(anchor)) faults.push(`${place}: ${target} has no such heading`);
    return target;
  });
  return faults;
}

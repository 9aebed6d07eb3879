/**
 * The site's navigation, from the list of pages in docs/README.md.
 */
import { posix } from 'node:path';
import type { ApiPage } from './api-reference.ts';
import type { IndexKind } from './index-page.ts';
import { sitePathOf } from './stage.ts';

interface SidebarItem {
  readonly text: string;
  readonly link?: string;
  readonly collapsed?: boolean;
  readonly items?: readonly SidebarItem[];
}

export function sidebarOf(kinds: readonly IndexKind[], api: readonly ApiPage[]): readonly SidebarItem[] {
  const sections = kinds.map(({ title, groups }): SidebarItem => {
    const items = groups.flatMap((group): readonly SidebarItem[] => {
      const links = group.entries.map((entry) => ({ text: entry.title, link: linkTo(entry.target) }));
      return group.title === '' ? links : [{ text: group.title, collapsed: true, items: links }];
    });
    return { text: title, items };
  });
  const apiItems = api.filter(({ partOf }) => partOf === undefined).map((page) => apiItem(page, api));
  return apiItems.length === 0
    ? sections
    : [...sections, { text: 'API, from the docstrings', collapsed: true, items: apiItems }];
}

function apiItem({ name, title }: ApiPage, api: readonly ApiPage[]): SidebarItem {
  const parts = api.filter(({ partOf }) => partOf === name).map((part) => apiItem(part, api));
  const item = { text: title, link: `/reference/api/${name}` };
  return parts.length === 0 ? item : { ...item, collapsed: true, items: parts };
}

/** The address of a page, from the root of the site, as docs/README.md links to it. */
export function linkTo(target: string): string {
  const [path = '', anchor] = target.split('#');
  const place = sitePathOf(posix.join('docs', path).replace(/\/$/, ''));
  const page = `/${(place ?? path).replace(/(?:index)?\.md$/, '')}`;
  return anchor === undefined ? page : `${page}#${anchor}`;
}

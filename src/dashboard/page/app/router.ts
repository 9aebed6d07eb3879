/**
 * Where the page is: the address below the base path that the server has put into the document. Every view has an address, filters
 * included, that can be sent to a colleague. Where there are several databases, it begins with the one that is looked at: `db/NAME/runs`.
 */
import { computed, signal } from '@preact/signals';

export interface PagePlace {
  /** That is looked at; null: the only one, or all of them. */
  readonly database: string | null;
  /** Below the base path and the database, without a slash at the start: '', 'messages', 'runs/0197…'. */
  readonly path: string;
  readonly query: URLSearchParams;
}

export type QueryValues = Readonly<Record<string, string | number | null | undefined>>;

const base = new URL('.', document.baseURI);

export const place = signal<PagePlace>(readPlace());

/** The database that the address names. */
export const here = computed(() => place.value.database);

function readPlace(): PagePlace {
  const { pathname, search } = location;
  const whole = pathname.startsWith(base.pathname) ? pathname.slice(base.pathname.length) : '';
  const named = /^db\/([^/]+)(?:\/(.*))?$/.exec(whole);
  const path = named === null ? whole : (named[2] ?? '');
  return { database: named?.[1] ?? null, path: path.replace(/\/$/, ''), query: new URLSearchParams(search) };
}

/**
 * The address of a view, in the database that is looked at unless another one is named; null: in none. Values that are null, undefined or empty
 * are left out.
 */
export function hrefTo(path: string, query: QueryValues = {}, database: string | null = here.value): string {
  const search = searchOf(query);
  const below = database === null ? path : `db/${database}/${path}`;
  return `${base.pathname}${below}${search === '' ? '' : `?${search}`}`;
}

export function searchOf(query: QueryValues): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
  }
  return search.toString();
}

/** The same view with some of its query changed. */
export function hrefWith(changes: QueryValues): string {
  const { path, query } = place.peek();
  return hrefTo(path, { ...Object.fromEntries(query), ...changes });
}

/** Of the address now: those of these names that are given. */
export function queryNow(names: readonly string[]): Readonly<Record<string, string>> {
  const given = [...place.value.query].filter(([name, value]) => names.includes(name) && value !== '');
  return Object.fromEntries(given);
}

export function navigate(href: string, { replace = false }: { readonly replace?: boolean } = {}): void {
  if (replace) history.replaceState(null, '', href);
  else history.pushState(null, '', href);
  const before = place.peek();
  const after = readPlace();
  place.value = after;
  if (before.path !== after.path || before.database !== after.database) scrollTo(0, 0);
}

/** Takes over links within the page. Answers with what undoes it. */
export function followLinks(): () => void {
  const onClick = (event: MouseEvent): void => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a[href]') : null;
    if (link === null || link.hasAttribute('target') || link.hasAttribute('download')) return;
    // Links in drawings have no `href` of their own that is a text.
    const url = new URL(link.getAttribute('href') ?? '', document.baseURI);
    if (url.origin !== location.origin || !url.pathname.startsWith(base.pathname)) return;
    if (url.hash !== '' && url.pathname === location.pathname) return;
    if (url.pathname.slice(base.pathname.length).startsWith('api/')) return;
    event.preventDefault();
    navigate(url.pathname + url.search);
  };
  const onPop = (): void => {
    place.value = readPlace();
  };
  document.addEventListener('click', onClick);
  addEventListener('popstate', onPop);
  return () => {
    document.removeEventListener('click', onClick);
    removeEventListener('popstate', onPop);
  };
}

/** What a path names, by segments: 'runs/0197…' is ['runs', '0197…']. */
export function segmentsOf(path: string): readonly string[] {
  return path.split('/').map((segment) => {
    try {
      return decodeURIComponent(segment);
    } catch {
      return segment;
    }
  });
}

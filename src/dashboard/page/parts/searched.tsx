/**
 * A list that is searched: a page, how far it looked, and the ways to older and newer ones. Each page has its address.
 */
import type { ComponentChildren, VNode } from 'preact';
import { now } from '../app/clock.ts';
import { useLoaded, type Loaded } from '../app/load.ts';
import { lookedText } from '../app/looked.ts';
import { hrefWith, queryNow } from '../app/router.ts';
import type { WireSearched } from '../app/wire.ts';
import { FarNote } from './far-note.tsx';
import { Grid, type GridColumn } from './grid.tsx';
import { Answered, EmptyNote } from './states.tsx';

/** In the address: where in the list, and in which direction one came there. */
export const NO_PAGE = { cursor: null, way: null } as const;
/** Whoever goes on looking waits for it; a list that is open looks again and again, and shortly. */
export const LOOK_FOR_ON = '1s';
const EVERY_MS = 5_000;

/** The page that the address names. `names`: the fields of the search. The newest page is read again from time to time. */
export function useSearched<Row>(path: string, names: readonly string[]): Loaded<WireSearched<Row>> {
  const query = queryNow([...names, 'cursor']);
  const isFirst = query['cursor'] === undefined;
  const asked = { ...query, lookFor: isFirst ? null : LOOK_FOR_ON };
  return useLoaded(path, asked, { every: isFirst ? EVERY_MS : null });
}

interface SearchedGridProps<Row> {
  readonly caption: string;
  /** What is listed: 'message'. */
  readonly one: string;
  readonly columns: readonly GridColumn<Row>[];
  readonly keyOf: (row: Row) => string;
  readonly loaded: Loaded<WireSearched<Row>>;
  /** When nothing fits, and all was looked at. */
  readonly empty: ComponentChildren;
}

export function SearchedGrid<Row>({ loaded, one, empty, ...grid }: SearchedGridProps<Row>): VNode {
  const { cursor, way } = queryNow(['cursor', 'way']);
  const isFirst = cursor === undefined;
  const isUpwards = way === 'newer';
  return (
    <Answered loaded={loaded} lines={12}>
      {({ items, older, newer, looked }) => {
        const far = lookedText(looked, one, now.value);
        const toOlder = hrefWith({ cursor: older, way: null });
        const toNewer = hrefWith({ cursor: newer, way: 'newer' });
        const isEmpty = items.length === 0;
        return (
          <>
            {isEmpty ? null : <Grid {...grid} rows={items} />}
            {isEmpty && far === null ? isFirst ? empty : <EmptyNote>No more {one}s fit that way.</EmptyNote> : null}
            {far === null ? null : <FarNote far={far} isEmpty={isEmpty} onwards={isUpwards ? toNewer : toOlder} />}
            {isFirst && (older === null || far !== null) ? null : (
              <nav class="pages" aria-label="Pages">
                {isFirst ? null : (
                  <span class="pages-newer">
                    <a href={hrefWith(NO_PAGE)}>« Newest</a>
                    {newer === null || (far !== null && isUpwards) ? null : <a href={toNewer}>‹ Newer</a>}
                  </span>
                )}
                {older !== null && (far === null || isUpwards) ? <a href={toOlder}>Older {one}s ›</a> : null}
                {older === null ? <span class="quiet">This is the end of the list.</span> : null}
              </nav>
            )}
          </>
        );
      }}
    </Answered>
  );
}

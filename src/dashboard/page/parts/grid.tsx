/**
 * Lists: a table on a wide screen, on a phone a card for each row. Each row leads to one thing, by the link in it; a click anywhere on
 * the row follows that link.
 */
import type { ComponentChildren, VNode } from 'preact';
import { hrefWith, navigate } from '../app/router.ts';
import type { Loaded } from '../app/load.ts';
import type { ListPage, LookedPage } from '../../server/contract.ts';
import { now } from '../app/clock.ts';
import { lookedText } from '../app/looked.ts';
import { FarNote } from './far-note.tsx';
import { Answered } from './states.tsx';

export interface GridColumn<Row> {
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** number: to the right. wide: takes what is left, and is cut short. */
  readonly kind?: 'number' | 'wide';
}

interface GridProps<Row> {
  /** What the table is, for those who do not see it. */
  readonly caption: string;
  readonly columns: readonly GridColumn<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
}

export function Grid<Row>({ caption, columns, rows, keyOf }: GridProps<Row>): VNode {
  return (
    <table class="grid">
      <caption class="unseen">{caption}</caption>
      <thead>
        <tr>
          {columns.map(({ title, kind = '' }) => (
            <th key={title} scope="col" class={kind}>
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody onClick={followRow}>
        {rows.map((row) => (
          <tr key={keyOf(row)}>
            {columns.map(({ title, cell, kind = '' }) => (
              <td key={title} class={kind} data-title={title}>
                {cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function followRow(event: MouseEvent): void {
  const target = event.target instanceof Element ? event.target : null;
  if (target === null || target.closest('a, button, input, label, summary') !== null) return;
  if (getSelection()?.isCollapsed === false) return;
  const link = target.closest('tr')?.querySelector<HTMLAnchorElement>('a.row-link');
  if (link !== null && link !== undefined) navigate(link.pathname + link.search);
}

interface PagedProps<Row> extends Omit<GridProps<Row>, 'rows'> {
  readonly loaded: Loaded<ListPage<Row> & Partial<LookedPage<Row>>>;
  /** Where it is in the list; null: at the beginning. */
  readonly cursor: string | null;
  readonly older: string;
  /** When nothing fits, and all was looked at. */
  readonly empty: ComponentChildren;
}

/** A list that is read page by page; each page has its address. */
export function PagedGrid<Row>({ loaded, cursor, older, empty, ...grid }: PagedProps<Row>): VNode {
  return (
    <Answered loaded={loaded} lines={12}>
      {({ items, next, looked }) => {
        const far = looked === undefined ? null : lookedText({ ...looked, reached: null }, 'message', now.value);
        const onwards = hrefWith({ cursor: next });
        const isEmpty = items.length === 0;
        return (
          <>
            {isEmpty ? far === null ? empty : null : <Grid {...grid} rows={items} />}
            {far === null ? null : <FarNote far={far} isEmpty={isEmpty} onwards={onwards} />}
            {cursor === null && (next === null || far !== null) ? null : (
              <nav class="pages" aria-label="Pages">
                {cursor === null ? null : <a href={hrefWith({ cursor: null })}>« First page</a>}
                {next === null ? (
                  <span class="quiet">This is the end of the list.</span>
                ) : far === null ? (
                  <a href={onwards}>{older} »</a>
                ) : null}
              </nav>
            )}
          </>
        );
      }}
    </Answered>
  );
}

/**
 * Tables for terminals: aligned, and no wider than the terminal. Pure.
 */
import { stripVTControlCharacters } from 'node:util';
import { oneLine } from './format.ts';
import type { Style } from './style.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'right';
  /** Gives way, down to this width, when the table would be wider than the terminal. */
  readonly shrink?: number;
  /** Left out when the terminal is too narrow even so. */
  readonly optional?: true;
  /** Colours a finished cell. */
  readonly paint?: (cell: string, row: Row) => string;
}

export interface TableLimits {
  readonly style: Style;
  /** Columns of the terminal; Infinity when the output goes elsewhere. */
  readonly width: number;
}

const GAP = '  ';

/** Lines, the titles first. */
export function formatTable<Row>(
  rows: readonly Row[],
  all: readonly Column<Row>[],
  { style, width }: TableLimits,
): string {
  const { columns, widths, cells } = fit(rows, all, width);
  const line = (texts: readonly string[], paint: (text: string, index: number) => string): string =>
    texts
      .map((text, index) => {
        const fitted = oneLine(text, widths[index]);
        const room = ' '.repeat(Math.max(0, (widths[index] ?? 0) - textWidth(fitted)));
        const painted = paint(fitted, index);
        return columns[index]?.align === 'right' ? room + painted : painted + room;
      })
      .join(GAP)
      .trimEnd();
  const head = line(
    columns.map(({ title }) => title),
    (text) => style.dim(text),
  );
  const body = rows.map((row, number) =>
    line(cells[number] ?? [], (text, index) => columns[index]?.paint?.(text, row) ?? text),
  );
  return [head, ...body].join('\n');
}

interface Fitted<Row> {
  readonly columns: readonly Column<Row>[];
  readonly widths: readonly number[];
  readonly cells: readonly (readonly string[])[];
}

/** Takes from the widest column that gives way, again and again; where that is not enough, optional columns go, from the right. */
function fit<Row>(rows: readonly Row[], columns: readonly Column<Row>[], width: number): Fitted<Row> {
  const cells = rows.map((row) => columns.map(({ value }) => oneLine(value(row))));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((line) => textWidth(line[index] ?? ''))),
  );
  const excess = () => widths.reduce((sum, each) => sum + each, 0) + GAP.length * (columns.length - 1) - width;
  const spare = (index: number) => {
    const { shrink, title = '' } = columns[index] ?? {};
    return shrink === undefined ? 0 : (widths[index] ?? 0) - Math.max(shrink, title.length);
  };
  while (excess() > 0) {
    const giving = [...columns.keys()].filter((index) => spare(index) > 0);
    const [widest] = giving.toSorted((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0));
    if (widest === undefined) {
      const optional = columns.findLastIndex((column) => column.optional === true);
      if (optional < 0) break;
      return fit(rows, columns.toSpliced(optional, 1), width);
    }
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return { columns, widths, cells };
}

/** Two aligned columns: names and what they are. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[], style: Style): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts
    .map(([name, value]) => `${style.dim(name.padEnd(width))}  ${value.replaceAll('\n', `\n${' '.repeat(width + 2)}`)}`)
    .join('\n');
}

/** Code points, which for topics, keys and ids is columns. */
function textWidth(text: string): number {
  return Array.from(stripVTControlCharacters(text)).length;
}

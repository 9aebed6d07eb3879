/**
 * Tables for terminals: aligned, and no wider than the terminal. Pure; used by the verbs.
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
  columns: readonly Column<Row>[],
  { style, width }: TableLimits,
): string {
  const cells = rows.map((row) => columns.map(({ value }) => oneLine(value(row))));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((line) => textWidth(line[index] ?? ''))),
  );
  let excess = widths.reduce((sum, each) => sum + each, 0) + GAP.length * (columns.length - 1) - width;
  for (const [index, { shrink, title }] of columns.entries()) {
    if (excess <= 0 || shrink === undefined) continue;
    const cut = Math.max(0, Math.min(excess, (widths[index] ?? 0) - Math.max(shrink, title.length)));
    widths[index] = (widths[index] ?? 0) - cut;
    excess -= cut;
  }
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

/** Two aligned columns: names and what they are. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[], style: Style): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts
    .map(([name, value]) => `${style.dim(name.padEnd(width))}  ${value.replaceAll('\n', `\n${' '.repeat(width + 2)}`)}`)
    .join('\n');
}

/** Code points, which for topics, keys and ids is columns. */
function textWidth(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

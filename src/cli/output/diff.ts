/**
 * Differences of JSON values on a terminal.
 */
import type { DiffLine } from '../../runtime/json-diff.ts';
import type { Style } from './style.ts';

export function formatDiff(lines: readonly DiffLine[], style: Style): string {
  const paint = { ' ': style.dim, '-': style.red, '+': style.green };
  return lines.map(({ sign, text }) => paint[sign](`${sign} ${text}`)).join('\n');
}

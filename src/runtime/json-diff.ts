/**
 * What is different between two JSON values or two texts, line by line. Pure.
 */

/** Comparing more lines than these with each other takes too long; both are shown whole then. */
const MOST_LINES = 2_000;

export interface DiffLine {
  readonly sign: ' ' | '-' | '+';
  readonly text: string;
}

/** By the longest common subsequence of the lines. */
export function diffJson(before: unknown, after: unknown): readonly DiffLine[] {
  return diffLines(linesOf(before), linesOf(after));
}

/** The same of two texts. */
export function diffTexts(before: string, after: string): readonly DiffLine[] {
  const lines = (text: string): readonly string[] => text.replaceAll('\r\n', '\n').replace(/\n$/, '').split('\n');
  return diffLines(lines(before), lines(after));
}

function diffLines(old: readonly string[], fresh: readonly string[]): readonly DiffLine[] {
  const gone = old.map((text): DiffLine => ({ sign: '-', text }));
  const come = fresh.map((text): DiffLine => ({ sign: '+', text }));
  if (old.length > MOST_LINES || fresh.length > MOST_LINES) return [...gone, ...come];
  const common = lengths(old, fresh);
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    if (i < old.length && j < fresh.length && old[i] === fresh[j]) {
      lines.push({ sign: ' ', text: old[i] as string });
      [i, j] = [i + 1, j + 1];
    } else if (j >= fresh.length || (i < old.length && at(common, i + 1, j) >= at(common, i, j + 1))) {
      lines.push(gone[i] as DiffLine);
      i += 1;
    } else {
      lines.push(come[j] as DiffLine);
      j += 1;
    }
  }
  return lines;
}

/** The changes with so many lines before and after each; null stands for lines that are left out. */
export function nearChanges(lines: readonly DiffLine[], around: number): readonly (DiffLine | null)[] {
  const near = new Set<number>();
  for (const [index, { sign }] of lines.entries()) {
    if (sign === ' ') continue;
    for (let each = index - around; each <= index + around; each += 1) near.add(each);
  }
  const shown: (DiffLine | null)[] = [];
  for (const [index, line] of lines.entries()) {
    if (near.has(index)) shown.push(line);
    else if (shown.at(-1) !== null) shown.push(null);
  }
  return shown;
}

/** For each pair of places, how many lines the rests have in common. */
function lengths(old: readonly string[], fresh: readonly string[]): readonly (readonly number[])[] {
  const table: number[][] = Array.from({ length: old.length + 1 }, () => []);
  for (let i = old.length; i >= 0; i -= 1) {
    const row = table[i] as number[];
    for (let j = fresh.length; j >= 0; j -= 1) {
      if (i === old.length || j === fresh.length) row[j] = 0;
      else if (old[i] === fresh[j]) row[j] = at(table, i + 1, j + 1) + 1;
      else row[j] = Math.max(at(table, i + 1, j), row[j + 1] ?? 0);
    }
  }
  return table;
}

function at(table: readonly (readonly number[])[], i: number, j: number): number {
  return table[i]?.[j] ?? 0;
}

function linesOf(value: unknown): readonly string[] {
  return (JSON.stringify(value, null, 2) ?? 'undefined').split('\n');
}

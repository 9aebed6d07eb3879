/**
 * docs/README.md, the one list of pages: the site's navigation and llms.txt are made of it.
 */
export interface IndexEntry {
  readonly title: string;
  /** From docs/, as the link there has it. */
  readonly target: string;
  /** What the page is for. */
  readonly about: string;
}

export interface IndexGroup {
  /** Empty for entries that stand directly below the kind. */
  readonly title: string;
  readonly entries: readonly IndexEntry[];
}

/** One of the four: tutorial, how-to, reference, explanation. */
export interface IndexKind {
  readonly title: string;
  readonly groups: readonly IndexGroup[];
}

const ENTRY = /^- \[(?<title>[^\]]+)\]\((?<target>[^)]+)\)(?:: (?<about>.+))?$/;

/** Kinds are headings of the second level, groups of the third, and each page is an item `- [title](target): about`. */
export function readIndex(page: string): readonly IndexKind[] {
  const [, ...kinds] = page.split(/^## /m);
  return kinds.map((kind) => {
    const [title = '', ...lines] = kind.split('\n');
    const [direct = '', ...groups] = lines.join('\n').split(/^### /m);
    const named = groups.map((group) => {
      const [name = '', ...rest] = group.split('\n');
      return { title: name.trim(), entries: entriesOf(rest) };
    });
    const first = { title: '', entries: entriesOf(direct.split('\n')) };
    return { title: title.trim(), groups: [first, ...named].filter(({ entries }) => entries.length > 0) };
  });
}

function entriesOf(lines: readonly string[]): readonly IndexEntry[] {
  return lines.flatMap((line) => {
    const { title, target, about = '' } = ENTRY.exec(line)?.groups ?? {};
    return title === undefined || target === undefined ? [] : [{ title, target, about }];
  });
}

export function entriesIn(kinds: readonly IndexKind[]): readonly IndexEntry[] {
  return kinds.flatMap(({ groups }) => groups.flatMap(({ entries }) => entries));
}

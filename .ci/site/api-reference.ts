/**
 * The public surface from its docstrings: a page for each entry point, made of what .ci/api.mjs knows of them (models/*.api.json).
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { slugOf } from './slug.ts';

interface Item {
  readonly name?: string;
  readonly kind: string;
  readonly docComment?: string;
  readonly excerptTokens?: readonly { readonly text: string }[];
  readonly overloadIndex?: number;
  readonly isOptional?: boolean;
  readonly members?: readonly Item[];
}

const KINDS: readonly (readonly [title: string, kinds: readonly string[]])[] = [
  ['Functions', ['Function']],
  ['Classes', ['Class']],
  ['Values', ['Variable', 'Enum', 'Namespace']],
  ['Interfaces', ['Interface']],
  ['Types', ['TypeAlias']],
];

export interface ApiPage {
  /** Of the file, without its ending. */
  readonly name: string;
  /** What users import from: `holdfast/testing`. */
  readonly entry: string;
  readonly text: string;
}

export function apiReference(models: string): readonly ApiPage[] {
  const files = readdirSync(models).filter((file) => file.endsWith('.api.json'));
  const entries = files.map((file) => {
    const { members = [] } = JSON.parse(readFileSync(join(models, file), 'utf8')) as Item;
    return { name: file.replace('.api.json', ''), items: members[0]?.members ?? [] };
  });
  // The main entry first: a name that is exported twice is explained there.
  const sorted = entries.toSorted((left, right) =>
    left.name === 'index' ? -1 : right.name === 'index' ? 1 : left.name.localeCompare(right.name),
  );
  const places = new Map<string, string>();
  for (const { name, items } of sorted)
    for (const item of items) {
      const symbol = item.name ?? '';
      if (!places.has(symbol)) places.set(symbol, `${fileOf(name)}.md#${slugOf(symbol)}`);
    }
  return sorted.map(({ name, items }) => {
    const entry = name === 'index' ? 'holdfast' : `holdfast/${name}`;
    return { name: fileOf(name), entry, text: entryPage(entry, items, places) };
  });
}

/** `index` is the list of the entry points. */
function fileOf(name: string): string {
  return name === 'index' ? 'holdfast' : name;
}

function entryPage(entry: string, items: readonly Item[], places: ReadonlyMap<string, string>): string {
  const parts = KINDS.flatMap(([title, kinds]) => {
    const found = items.filter(({ kind }) => kinds.includes(kind));
    const names = [...new Set(found.map(({ name = '' }) => name))];
    const overloads = (name: string): readonly Item[] => found.filter((each) => each.name === name);
    const sections = names.map((name) => itemPart(name, overloads(name), places));
    return sections.length === 0 ? [] : [`## ${title}`, ...sections];
  });
  return `${[`# ${entry}`, `\`\`\`ts\nimport { … } from '${entry}';\n\`\`\``, ...parts].join('\n\n')}\n`;
}

function itemPart(name: string, overloads: readonly Item[], places: ReadonlyMap<string, string>): string {
  const bodies = overloads.flatMap((item) => {
    const members = (item.members ?? []).filter(({ kind }) => kind !== 'Constructor' || item.kind === 'Class');
    const isPlain = item.kind !== 'Interface' || members.length === 0;
    return [
      ...(isPlain ? [`\`\`\`ts\n${signature(item)}\n\`\`\``] : []),
      ...docPart(item.docComment, places),
      ...(members.length > 0 ? [memberTable(members, places)] : []),
    ];
  });
  return [`### ${name}`, ...bodies].join('\n\n');
}

function signature({ excerptTokens = [] }: Item): string {
  const text = excerptTokens.map((token) => token.text).join('');
  return text.replace(/^export declare /, '').trim();
}

function memberTable(members: readonly Item[], places: ReadonlyMap<string, string>): string {
  const rows = members.map((member) => {
    const declared = signature(member)
      .replaceAll(/\s+/g, ' ')
      .replace(/;$/, '')
      .replace(/^readonly /, '');
    // That an option may be left out says the question mark.
    const shape = member.isOptional === true ? declared.replace(/ \| undefined$/, '') : declared;
    const about = docPart(member.docComment, places)
      .join(' ')
      .replaceAll(/```ts\n|\n```/g, '`');
    return `| \`${shape.replaceAll('|', String.raw`\|`)}\` | ${about.replaceAll(/\s*\n\s*/g, ' ').replaceAll('|', String.raw`\|`)} |`;
  });
  return ['| member | what it is |', '|---|---|', ...rows].join('\n');
}

/** A docstring as paragraphs: what it says, then parameters, results, errors, and examples as code. */
function docPart(comment: string | undefined, places: ReadonlyMap<string, string>): readonly string[] {
  const lines = (comment ?? '')
    .replace(/^\/\*\*/, '')
    .replace(/\*\/\s*$/, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, ''));
  const blocks = lines
    .join('\n')
    .trim()
    .split(/^(?=@\w+)/m);
  return blocks.flatMap((block) => {
    const [, tag, rest = ''] = /^@(\w+)([\s\S]*)$/.exec(block) ?? [undefined, undefined, block];
    const text = rest.trim();
    if (text === '') return [];
    switch (tag) {
      case 'example':
        return [`\`\`\`ts\n${indented(text.replaceAll(/^```\w*\n?|```$/gm, ''))}\n\`\`\``];
      case 'param':
        return [`**${text.replace(/^(\w+)\s*-?\s*/, '`$1`** ')}`].map((line) => prose(line, places));
      case 'defaultValue':
        return [`Default: ${prose(text, places)}.`.replace(/\.\.$/, '.')];
      case 'throws':
        return [`Throws ${prose(text, places)}.`.replace(/\.\.$/, '.')];
      case 'returns':
        return [`Returns ${prose(text, places)}`];
      default:
        return [prose(text, places)];
    }
  });
}

/** The models keep no indentation: two spaces for each bracket that is open. */
function indented(code: string): string {
  let depth = 0;
  return code
    .trim()
    .split('\n')
    .map((line) => {
      const text = line.trim();
      const closes = /^[)\]}]+/.exec(text)?.[0].length ?? 0;
      const indent = Math.max(0, depth - (closes > 0 ? 1 : 0));
      const opened = (text.match(/[([{]/g) ?? []).length;
      const closed = (text.match(/[)\]}]/g) ?? []).length;
      // Brackets that open on one line, such as `step({`, are one level.
      depth += Math.sign(opened - closed);
      return `${'  '.repeat(indent)}${text}`;
    })
    .join('\n');
}

/** Links to other names, error codes to their sections; angle brackets as they stand, but in code. */
function prose(text: string, places: ReadonlyMap<string, string>): string {
  return text
    .split(/(`[^`]*`)/)
    .map((piece) => {
      if (piece.startsWith('`')) return piece;
      return piece
        .replaceAll(/[<>]/g, (sign) => (sign === '<' ? '&lt;' : '&gt;'))
        .replaceAll(/\{@link (\w+)(?:\s*\|\s*([^}]+))?\}/g, (_, name: string, words: string | undefined) => {
          const place = places.get(name);
          return place === undefined ? `\`${name}\`` : `[${words ?? name}](${place})`;
        })
        .replaceAll(/\bHF_[A-Z]+(?:_[A-Z]+)*\b(?![_*])/g, (code) => `[${code}](../../errors.md#${code.toLowerCase()})`);
    })
    .join('');
}

/**
 * The public surface from its docstrings, made of what .ci/api.mjs knows of it (models/*.api.json): a page for each entry point, and for
 * the main one a page for each area and a list of all names.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { AREAS, areasOf } from './api-areas.ts';
import { slugOf } from './slug.ts';

interface Item {
  readonly name?: string;
  readonly kind: string;
  readonly docComment?: string;
  readonly excerptTokens?: readonly { readonly kind?: string; readonly text: string }[];
  readonly fileUrlPath?: string;
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
  readonly title: string;
  /** What users import from: `holdfast/testing`. */
  readonly entry: string;
  /** The page that this one is a part of. */
  readonly partOf?: string;
  readonly text: string;
}

/** A page before it is written. */
interface Plan extends Omit<ApiPage, 'text'> {
  readonly about?: string | undefined;
  readonly items: readonly Item[];
}

const MAIN = 'holdfast';

export function apiReference(models: string): readonly ApiPage[] {
  const files = readdirSync(models).filter((file) => file.endsWith('.api.json'));
  const plans = files.toSorted(mainFirst).flatMap((file) => {
    const { members = [] } = JSON.parse(readFileSync(join(models, file), 'utf8')) as Item;
    const name = file.replace('.api.json', '');
    const items = members[0]?.members ?? [];
    return name === 'index'
      ? areaPlans(items)
      : [{ name, title: `${MAIN}/${name}`, entry: `${MAIN}/${name}`, items } satisfies Plan];
  });
  // A name that is exported twice is explained by the main entry, which is first.
  const places = new Map<string, string>();
  for (const { name, items } of plans)
    for (const item of items) {
      const symbol = item.name ?? '';
      if (!places.has(symbol)) places.set(symbol, `${name}.md#${slugOf(symbol)}`);
    }
  const main = plans.filter(({ entry }) => entry === MAIN);
  return [
    { name: MAIN, title: MAIN, entry: MAIN, text: mainPage(main, places) },
    ...plans.map(({ items, about, ...page }) => ({ ...page, text: planPage({ ...page, items, about }, places) })),
  ];
}

function mainFirst(left: string, right: string): number {
  const isMain = (file: string): number => (file === 'index.api.json' ? 0 : 1);
  return isMain(left) - isMain(right) || left.localeCompare(right);
}

function areaPlans(items: readonly Item[]): readonly Plan[] {
  const areas = areasOf(
    items.map(({ name = '', fileUrlPath = '', excerptTokens = [] }) => ({
      name,
      file: fileUrlPath.replace(/^dist\//, '').replace(/\.d\.ts$/, '.ts'),
      mentions: excerptTokens.filter(({ kind }) => kind === 'Reference').map(({ text }) => text),
    })),
  );
  return AREAS.map(({ name, title, about }) => ({
    name: `${MAIN}-${name}`,
    title,
    about,
    entry: MAIN,
    partOf: MAIN,
    items: items.filter((item) => areas.get(item.name ?? '') === name),
  }));
}

/** The areas, and every name. */
function mainPage(areas: readonly Plan[], places: ReadonlyMap<string, string>): string {
  const list = areas.map(({ name, title, about }) => `- [${title}](./${name}.md): ${about}`).join('\n');
  const all = areas.flatMap(({ items }) => items);
  return `${[`# ${MAIN}`, importLine(MAIN), list, ...indexPart(all, places)].join('\n\n')}\n`;
}

function planPage(
  { name, title, about, entry, items }: Omit<Plan, 'partOf'>,
  places: ReadonlyMap<string, string>,
): string {
  const head = [`# ${title}`, ...(about === undefined ? [] : [`${about[0]?.toUpperCase()}${about.slice(1)}.`])];
  const parts = KINDS.flatMap(([kind, kinds]) => {
    const found = items.filter((item) => kinds.includes(item.kind));
    const overloads = (symbol: string): readonly Item[] => found.filter((each) => each.name === symbol);
    const sections = namesOf(found).map((symbol) => itemPart(symbol, overloads(symbol), places));
    return sections.length === 0 ? [] : [`## ${kind}`, ...sections];
  });
  const index = indexPart(items, places).map((line) => line.replaceAll(`](./${name}.md#`, '](#'));
  return `${[...head, importLine(entry), ...index, ...parts].join('\n\n')}\n`;
}

function importLine(entry: string): string {
  return `\`\`\`ts\nimport { … } from '${entry}';\n\`\`\``;
}

function namesOf(items: readonly Item[]): readonly string[] {
  return [...new Set(items.map(({ name = '' }) => name))];
}

/** A line for each kind that is there, with all its names. */
function indexPart(items: readonly Item[], places: ReadonlyMap<string, string>): readonly string[] {
  return KINDS.flatMap(([title, kinds]) => {
    const names = namesOf(items.filter((item) => kinds.includes(item.kind))).toSorted((left, right) =>
      left.localeCompare(right),
    );
    const links = names.map((name) => `[${name}](./${places.get(name)})`);
    return names.length === 0 ? [] : [`**${title}:** ${links.join(', ')}`];
  });
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

/**
 * What api-extractor's models (.ci/api.mjs) say of the exports of an entry point, and the examples in their docstrings.
 */
import { readFileSync } from 'node:fs';

/** An export; overloads are one each. */
export interface PublicExport {
  readonly name: string;
  readonly kind: 'Class' | 'Function' | 'Interface' | 'TypeAlias' | 'Variable' | 'Enum' | 'Namespace';
  /** Where it is declared, from the root of the project. */
  readonly file: string;
  /** Its docstring without stars; empty when it has none. */
  readonly doc: string;
  readonly members: readonly PublicMember[];
}

export interface PublicMember {
  readonly name: string;
  readonly doc: string;
  readonly optional: boolean;
  /** As it is declared. */
  readonly type: string;
}

interface ModelItem {
  readonly name?: string;
  readonly kind: string;
  readonly docComment?: string;
  readonly fileUrlPath?: string;
  readonly isOptional?: boolean;
  readonly excerptTokens?: readonly { readonly text: string }[];
  readonly members?: readonly ModelItem[];
}

export function exportsOf(model: string): readonly PublicExport[] {
  const { members = [] } = JSON.parse(readFileSync(model, 'utf8')) as ModelItem;
  return (members[0]?.members ?? []).map(({ name = '', kind, docComment, fileUrlPath = '', members: inner = [] }) => ({
    name,
    kind: kind as PublicExport['kind'],
    file: fileUrlPath.replace(/^dist\//, 'src/').replace(/\.d\.ts$/, '.ts'),
    doc: plain(docComment),
    members: inner.map((member) => ({
      name: member.name ?? '',
      doc: plain(member.docComment),
      optional: member.isOptional === true,
      type: (member.excerptTokens ?? []).map(({ text }) => text).join(''),
    })),
  }));
}

function plain(comment = ''): string {
  const lines = comment
    .replace(/^\/\*\*/, '')
    .replace(/\*\/\s*$/, '')
    .split('\n');
  return lines
    .map((line) => line.replace(/^\s*\* ?/, ''))
    .join('\n')
    .trim();
}

/** Each `@example`, up to the next tag. */
export function examplesOf({ doc }: PublicExport): readonly string[] {
  const lines = doc.split('\n');
  const examples: string[][] = [];
  let current: string[] | null = null;
  for (const line of lines) {
    if (line.startsWith('@')) current = null;
    if (line.startsWith('@example')) examples.push((current = []));
    else if (!line.startsWith('```')) current?.push(line);
  }
  return examples.map((example) => example.join('\n').trim());
}

/** What a module declares at its top. */
export function declaredNames(code: string): ReadonlySet<string> {
  const names = new Set<string>();
  const declaration =
    /^(?:export )?(?:declare )?(?:const|let|class|interface|type|function|async function) (?:(\w+)|\{([^}]*)\}|\[([^\]]*)\])/gm;
  for (const [, name, ...bound] of code.matchAll(declaration)) {
    if (name !== undefined) names.add(name);
    for (const text of bound) for (const word of text?.match(/\w+(?=\s*(?:,|$))/g) ?? []) names.add(word);
  }
  return names;
}

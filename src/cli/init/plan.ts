/**
 * What `holdfast init` would change in a project: each file of the parts held against what is there. Pure: it is given how to read.
 */
import { extendManifest } from './manifest.ts';
import type { TemplatePart } from './parts.ts';

/**
 * - new: it is not there
 * - same: it is there, as it should be
 * - added to: it is there, and only gets more
 * - differs: it is there, and says something else
 * - theirs: it is there, and is left as it is in any case
 */
export type FileState = 'new' | 'same' | 'added to' | 'differs' | 'theirs';

export interface PlannedFile {
  /** In the project, with slashes. */
  readonly path: string;
  readonly state: FileState;
  /** Null: it is not there. */
  readonly before: string | null;
  readonly after: string;
}

export interface PlanInputs {
  readonly parts: readonly TemplatePart[];
  readonly read: (path: string) => string | null;
  /** Of a new package. */
  readonly name: string;
  /** Version of Holdfast. */
  readonly holdfast: string;
}

/** A compiler's settings are the project's own. */
const THEIRS = new Set(['tsconfig.json']);

/** package.json last: what dies in between is not taken for done. Throws HF_CONFIG. */
export function planProject({ parts, read, name, holdfast }: PlanInputs): readonly PlannedFile[] {
  const planned = [...filesOf(parts)].map(([path, text]): PlannedFile => {
    const before = read(path);
    const after = path === '.gitignore' && before !== null ? withLines(before, text) : text;
    return { path, before, after, state: stateOf(path, before, after) };
  });
  const before = read('package.json');
  const after = extendManifest({ before, name, holdfast, parts });
  return [...planned, { path: 'package.json', before, after, state: stateOf('package.json', before, after) }];
}

/** What the project is made of, but for its package.json. */
export function filesOf(parts: readonly TemplatePart[]): ReadonlyMap<string, string> {
  const files = new Map(parts.flatMap((part) => [...part.files]));
  const compilerOptions = Object.assign({}, ...parts.map((part) => part.compilerOptions)) as object;
  const tsconfig = files.get('tsconfig.json');
  if (tsconfig !== undefined) files.set('tsconfig.json', withCompilerOptions(tsconfig, compilerOptions));
  return files.set('.gitignore', parts.flatMap((part) => part.ignored.map((line) => `${line}\n`)).join(''));
}

function withCompilerOptions(tsconfig: string, more: object): string {
  if (Object.keys(more).length === 0) return tsconfig;
  const { compilerOptions, ...rest } = JSON.parse(tsconfig) as { readonly compilerOptions: object };
  return `${JSON.stringify({ compilerOptions: { ...compilerOptions, ...more }, ...rest }, null, 2)}\n`;
}

function stateOf(path: string, before: string | null, after: string): FileState {
  if (before === null) return 'new';
  if (before.replaceAll('\r\n', '\n') === after.replaceAll('\r\n', '\n')) return 'same';
  if (THEIRS.has(path)) return 'theirs';
  return path === 'package.json' || path === '.gitignore' ? 'added to' : 'differs';
}

/** With the lines that are missing. `folder`, `/folder` and `folder/` are the same to version control, nearly. */
function withLines(before: string, wanted: string): string {
  const bare = (line: string): string => line.trim().replace(/^\//, '').replace(/\/$/, '');
  const there = new Set(before.split('\n').map(bare));
  const missing = wanted.split('\n').filter((line) => line !== '' && !there.has(bare(line)));
  if (missing.length === 0) return before;
  return `${before}${before === '' || before.endsWith('\n') ? '' : '\n'}${missing.join('\n')}\n`;
}

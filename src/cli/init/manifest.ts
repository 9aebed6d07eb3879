/**
 * package.json of a project, with what the parts need added. What is there stays as it is. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import type { TemplatePart } from './parts.ts';

type Names = Readonly<Record<string, string>>;

export interface Manifest {
  readonly name?: string;
  readonly type?: string;
  readonly scripts?: Names;
  readonly dependencies?: Names;
  readonly devDependencies?: Names;
  /** Of npm. Others pass them over, and only warn of what npm refuses. */
  readonly overrides?: Readonly<Record<string, unknown>>;
}

/** Throws HF_CONFIG for what cannot be read. */
export function parseManifest(text: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new HoldfastError('HF_CONFIG', `package.json cannot be read: ${(error as Error).message}`, {
      cause: error,
      advice: 'Mend it first: init only adds to it.',
    });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new HoldfastError('HF_CONFIG', 'package.json is no JSON object.', { advice: 'Mend it first.' });
}

export interface ManifestInputs {
  /** Null: there is none yet. */
  readonly before: string | null;
  /** For a new one. */
  readonly name: string;
  readonly holdfast: string;
  readonly parts: readonly Pick<TemplatePart, 'dependencies' | 'devDependencies' | 'scripts' | 'overrides'>[];
}

/** Its text: the same when nothing is missing. A script of ours whose name is taken is called `holdfast:NAME`. Throws HF_CONFIG. */
export function extendManifest({ before, name, holdfast, parts }: ManifestInputs): string {
  const own: Manifest = before === null ? { name, type: 'module' } : parseManifest(before);
  const all = (key: 'dependencies' | 'devDependencies' | 'scripts'): Names =>
    Object.assign({}, ...parts.map((part) => part[key])) as Names;
  const present = { ...own.devDependencies, ...own.dependencies };
  const missing = (wanted: Names): Names =>
    Object.fromEntries(Object.entries(wanted).filter(([each]) => !(each in present)));
  const scripts = missingScripts(own.scripts ?? {}, all('scripts'));
  const dependencies = missing({ ...all('dependencies'), holdfast: `^${holdfast}` });
  const devDependencies = missing(all('devDependencies'));
  const overrides = missingOverrides(own.overrides ?? {}, parts);
  const isComplete = [scripts, dependencies, devDependencies, overrides].every(
    (each) => Object.keys(each).length === 0,
  );
  if (before !== null && isComplete) return before;
  const after = {
    ...own,
    ...(before === null ? { private: true } : {}),
    scripts: { ...own.scripts, ...scripts },
    dependencies: sorted({ ...own.dependencies, ...dependencies }),
    devDependencies: sorted({ ...own.devDependencies, ...devDependencies }),
    ...(Object.keys(overrides).length === 0 ? {} : { overrides: { ...own.overrides, ...overrides } }),
  };
  return `${JSON.stringify(after, null, indentOf(before))}\n`;
}

function missingOverrides(
  own: NonNullable<Manifest['overrides']>,
  parts: ManifestInputs['parts'],
): NonNullable<Manifest['overrides']> {
  const wanted = parts.flatMap((part) => Object.entries(part.overrides));
  return Object.fromEntries(wanted.filter(([name]) => !(name in own)));
}

/** npm's own placeholder is nobody's script. */
const PLACEHOLDER = /Error: no test specified/;

function missingScripts(own: Names, wanted: Names): Names {
  return Object.fromEntries(
    Object.entries(wanted).flatMap(([name, command]) => {
      const there = own[name];
      if (there === command || own[`holdfast:${name}`] === command) return [];
      return [[there === undefined || PLACEHOLDER.test(there) ? name : `holdfast:${name}`, command]];
    }),
  );
}

function sorted(names: Names): Names {
  return Object.fromEntries(Object.entries(names).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function indentOf(text: string | null): string {
  return /^\{\r?\n([ \t]+)/.exec(text ?? '')?.[1] ?? '  ';
}

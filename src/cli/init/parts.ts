/**
 * The parts that a first project is put together from: folders of `templates/`, each with files to copy and what they need. A new framework
 * or ORM is a new folder and its name in the list here.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { templatesFolder } from '../templates-folder.ts';

export const FRAMEWORKS = ['none', 'fastify', 'hono', 'express'] as const;
export const ORMS = ['pg', 'kysely', 'drizzle'] as const;
export const BROKERS = ['postgres', 'redis'] as const;

export type Framework = (typeof FRAMEWORKS)[number];
export type Orm = (typeof ORMS)[number];
export type Broker = (typeof BROKERS)[number];

export interface ProjectChoices {
  readonly framework: Framework;
  readonly orm: Orm;
  readonly broker: Broker;
}

export interface TemplatePart {
  /** Text by path in the project, with slashes. */
  readonly files: ReadonlyMap<string, string>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly scripts: Readonly<Record<string, string>>;
}

/** In the order in which they are put together. */
export function partsOf({ framework, orm, broker }: ProjectChoices): readonly TemplatePart[] {
  return ['base', `orm-${orm}`, `broker-${broker}`, `framework-${framework}`].map(readPart);
}

function readPart(name: string): TemplatePart {
  const folder = join(templatesFolder(), name);
  const files = join(folder, 'files');
  const paths = readdirSync(files, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const {
    dependencies = {},
    devDependencies = {},
    scripts = {},
  } = JSON.parse(readFileSync(join(folder, 'part.json'), 'utf8')) as Partial<TemplatePart>;
  return {
    files: new Map(paths.map((path) => [nameInProject(relative(files, path)), readFileSync(path, 'utf8')])),
    dependencies,
    devDependencies,
    scripts,
  };
}

/** npm leaves out files of this name when it packs. */
function nameInProject(path: string): string {
  return path === 'gitignore' ? '.gitignore' : path.split(sep).join('/');
}

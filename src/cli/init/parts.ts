/**
 * The parts that a first project is put together from: folders of `templates/`, each with files to copy and what they need. A new framework
 * or ORM is a new folder, its name in the list here, and in detect.ts the packages by which it is known.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { templatesFolder } from '../templates-folder.ts';

export const FRAMEWORKS = ['none', 'fastify', 'hono', 'express', 'nest'] as const;
export const ORMS = [
  'pg',
  'kysely',
  'drizzle',
  'drizzle-postgres-js',
  'prisma',
  'typeorm',
  'mikro-orm',
  'knex',
  'sequelize',
  'postgres-js',
] as const;
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
  /** Of package.json, as npm knows them. */
  readonly overrides: Readonly<Record<string, unknown>>;
  /** Of tsconfig.json, beside those that every project has. */
  readonly compilerOptions: Readonly<Record<string, unknown>>;
  /** Lines of .gitignore. */
  readonly ignored: readonly string[];
}

/** What `part.json` says. All of it but `about` may be left out. */
interface PartFile extends Partial<Omit<TemplatePart, 'files'>> {
  /** Other folders of `templates/` that belong to it. */
  readonly with?: readonly string[];
}

/** In the order in which they are put together. */
export function partsOf({ framework, orm, broker }: ProjectChoices): readonly TemplatePart[] {
  return ['base', `orm-${orm}`, `broker-${broker}`, `framework-${framework}`].flatMap(readParts);
}

function readParts(name: string): readonly TemplatePart[] {
  const folder = join(templatesFolder(), name);
  const { with: others = [], ...part } = JSON.parse(readFileSync(join(folder, 'part.json'), 'utf8')) as PartFile;
  const own: TemplatePart = {
    files: filesBelow(join(folder, 'files')),
    dependencies: {},
    devDependencies: {},
    scripts: {},
    overrides: {},
    compilerOptions: {},
    ignored: [],
    ...part,
  };
  return [...others.flatMap(readParts), own];
}

/** Folder by folder: where Yarn reads packages out of archives, a look into all at once names no folders. */
function filesBelow(root: string): ReadonlyMap<string, string> {
  const filesIn = (folder: string): readonly string[] =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesIn(path) : [path];
    });
  return new Map(filesIn(root).map((path) => [relative(root, path).split(sep).join('/'), readFileSync(path, 'utf8')]));
}

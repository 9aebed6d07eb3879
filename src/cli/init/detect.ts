/**
 * What a project shows of the choices that `holdfast init` asks for: its dependencies, its lock file, what an earlier run left. Pure.
 */
import { parseManifest } from './manifest.ts';
import type { Framework, Orm, ProjectChoices } from './parts.ts';

export const PACKAGE_MANAGERS = ['npm', 'pnpm', 'yarn', 'bun'] as const;
export type PackageManager = (typeof PACKAGE_MANAGERS)[number];

export type ReadFile = (path: string) => string | null;

/** A choice, and the packages that all are there where it was made. */
type Shown<T> = readonly [choice: T, ...packages: readonly string[]];

/** What stands upon another one comes before it. */
const FRAMEWORK_SHOWN: readonly Shown<Framework>[] = [
  ['nest', '@nestjs/core'],
  ['fastify', 'fastify'],
  ['hono', 'hono'],
  ['express', 'express'],
];
const ORM_SHOWN: readonly Shown<Orm>[] = [
  ['prisma', '@prisma/client'],
  ['typeorm', 'typeorm'],
  ['mikro-orm', '@mikro-orm/postgresql'],
  ['sequelize', 'sequelize'],
  ['drizzle-postgres-js', 'drizzle-orm', 'postgres'],
  ['drizzle', 'drizzle-orm'],
  ['kysely', 'kysely'],
  ['knex', 'knex'],
  ['postgres-js', 'postgres'],
];

/** What can be seen; the rest is asked for. Throws HF_CONFIG for a package.json that cannot be read. */
export function detectChoices(read: ReadFile): Partial<ProjectChoices> {
  const text = read('package.json');
  const manifest = text === null ? {} : parseManifest(text);
  const dependencies = { ...manifest.devDependencies, ...manifest.dependencies };
  const shown = <T>(table: readonly Shown<T>[]): T | undefined =>
    table.find(([, ...packages]) => packages.every((name) => name in dependencies))?.[0];
  const framework = shown(FRAMEWORK_SHOWN);
  const orm = shown(ORM_SHOWN);
  const transport = read('src/transport.ts');
  // An earlier run has chosen, and its choice needs no package.
  const hasServer = read('src/server.ts') !== null;
  const hasDatabase = read('src/database.ts') !== null;
  return {
    ...(framework === undefined ? (hasServer ? { framework: 'none' } : {}) : { framework }),
    ...(orm === undefined ? (hasDatabase ? { orm: 'pg' } : {}) : { orm }),
    ...(transport === null
      ? {}
      : { broker: /^import \{[^}]*\bcreateBullmqTransport\b/m.test(transport) ? 'redis' : 'postgres' }),
  };
}

const LOCK_FILES: readonly (readonly [file: string, manager: PackageManager])[] = [
  ['package-lock.json', 'npm'],
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
];

/** By its lock file, or by what started this process: `npx`, `pnpm dlx`, `bunx`. */
export function detectPackageManager(exists: (path: string) => boolean, userAgent: string | undefined): PackageManager {
  const locked = LOCK_FILES.find(([file]) => exists(file))?.[1];
  const started = PACKAGE_MANAGERS.find((name) => userAgent?.startsWith(`${name}/`));
  return locked ?? started ?? 'npm';
}

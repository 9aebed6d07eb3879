/**
 * A client of Prisma for the tests, generated and compiled into a folder below node_modules, where packages are found from. Generating needs
 * no engine, but the command line looks for one and would load it from the network: it is told that it has one.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { ROOT } from '../house/source-files.ts';

const SCHEMA = `
generator client {
  provider = "prisma-client"
  output   = "./generated"
}
datasource db {
  provider = "postgresql"
}
model Effect {
  id   BigInt @id @default(autoincrement())
  what String
  @@map("effect")
}
model Order {
  id    String  @id
  state String?
  @@map("orders")
}
`;

/** With which `prisma generate` asks the network for nothing. */
export const PRISMA_ENV = {
  PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
  PRISMA_HIDE_UPDATE_MESSAGE: '1',
  CHECKPOINT_DISABLE: '1',
};

export interface GeneratedClient {
  readonly folder: string;
  /** The class PrismaClient, its types forgotten. */
  readonly load: () => Promise<{ readonly PrismaClient: new (options: object) => unknown }>;
  readonly dispose: () => Promise<void>;
}

export async function generatePrismaClient(): Promise<GeneratedClient> {
  const cache = join(ROOT, 'node_modules', '.cache', 'holdfast-prisma');
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'run-'));
  await writeFile(join(folder, 'schema.prisma'), SCHEMA);
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  const cli = join(ROOT, 'node_modules/prisma/build/index.js');
  const env = { ...process.env, ...PRISMA_ENV };
  const generate = [cli, 'generate', '--schema', join(folder, 'schema.prisma')];
  await promisify(execFile)(process.execPath, generate, { cwd: folder, env });
  const compiled = join(folder, 'client.mjs');
  await build({
    entryPoints: [join(folder, 'generated/client.ts')],
    outfile: compiled,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  });
  return {
    folder,
    load: () => import(pathToFileURL(compiled).href) as ReturnType<GeneratedClient['load']>,
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

/**
 * Vitest's global setup: one PostgreSQL and one Redis for the whole run, which tests reach through servers.ts, and the programs that
 * they start as processes (faults/child.ts).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { compilePrograms } from '../../.ci/compile-programs.ts';
import { findOrStartPostgres } from '../../src/testing/servers/postgres.ts';
import { findOrStartRedis } from '../../src/testing/servers/redis.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    postgresAdminUrl: string;
    postgresVersion: string;
    redisUrl: string;
    /** Paths of the compiled programs, by the names of their sources. */
    programs: Readonly<Record<string, string>>;
    /** Folder in which the command line is compiled by the first test that needs it. */
    commandLine: string;
  }
}

const PROGRAMS = [
  'faults/relay-child.ts',
  'faults/consumer-child.ts',
  'faults/saga-child.ts',
  'faults/saga-poison-child.ts',
  'faults/reference-child.ts',
  '../transport/bullmq/hanging-consumer.ts',
].map((path) => fileURLToPath(new URL(path, import.meta.url)));

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const programs = await compilePrograms(PROGRAMS);
  const postgres = await findOrStartPostgres();
  const redis = await findOrStartRedis().catch(async (error: unknown) => {
    await postgres.dispose();
    throw error;
  });
  const commandLine = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
  project.provide('programs', programs.paths);
  project.provide('commandLine', commandLine);
  project.provide('postgresAdminUrl', postgres.adminUrl);
  project.provide('postgresVersion', postgres.version);
  project.provide('redisUrl', redis.url);
  return async () => {
    await Promise.all([postgres.dispose(), redis.dispose(), programs.dispose()]);
    await rm(commandLine, { recursive: true, force: true });
  };
}

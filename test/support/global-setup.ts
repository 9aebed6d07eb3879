/**
 * Vitest's global setup of the suites that need servers: one PostgreSQL and one Redis for the whole run, which tests reach through
 * servers.ts, and the programs that they start as processes (faults/child.ts).
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ProvidedContext } from 'vitest';
import type { TestProject } from 'vitest/node';
import { compilePrograms } from '../../.ci/compile-programs.ts';
import { findOrStartPostgres } from '../../src/servers/postgres.ts';
import { findOrStartRedis } from '../../src/servers/redis.ts';

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
  'faults/job-child.ts',
  '../transport/bullmq/hanging-consumer.ts',
  '../transport/rabbitmq/rabbitmq-hanging-consumer.ts',
  '../transport/redis-streams/hanging-streams-consumer.ts',
  '../transport/nats/hanging-nats-consumer.ts',
].map((path) => fileURLToPath(new URL(path, import.meta.url)));

interface Shared {
  readonly context: ProvidedContext;
  readonly close: () => Promise<void>;
}

/** Each suite loads this file for itself, in one process: what they share must stand where all of them find it. */
const run = globalThis as typeof globalThis & {
  holdfastTestRun?: { suites: number; readonly shared: Promise<Shared> };
};

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  run.holdfastTestRun ??= { suites: 0, shared: start() };
  const mine = run.holdfastTestRun;
  mine.suites += 1;
  const { context, close } = await mine.shared;
  for (const [name, value] of Object.entries(context)) project.provide(name as keyof ProvidedContext, value);
  return async () => {
    mine.suites -= 1;
    if (mine.suites === 0) await close();
  };
}

async function start(): Promise<Shared> {
  const programs = await compilePrograms(PROGRAMS);
  const postgres = await findOrStartPostgres();
  const redis = await findOrStartRedis().catch(async (error: unknown) => {
    await postgres.dispose();
    throw error;
  });
  const commandLine = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
  return {
    context: {
      programs: programs.paths,
      commandLine,
      postgresAdminUrl: postgres.adminUrl,
      postgresVersion: postgres.version,
      redisUrl: redis.url,
    },
    close: async () => {
      await Promise.all([postgres.dispose(), redis.dispose(), programs.dispose()]);
      await rm(commandLine, { recursive: true, force: true });
    },
  };
}

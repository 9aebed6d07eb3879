/**
 * Vitest's global setup: one PostgreSQL and one Redis for the whole run. Tests reach them through servers.ts.
 */
import type { TestProject } from 'vitest/node';
import { findOrStartPostgres } from '../../src/testing/servers/postgres.ts';
import { findOrStartRedis } from '../../src/testing/servers/redis.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    postgresAdminUrl: string;
    postgresVersion: string;
    redisUrl: string;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const postgres = await findOrStartPostgres();
  const redis = await findOrStartRedis().catch(async (error: unknown) => {
    await postgres.dispose();
    throw error;
  });
  project.provide('postgresAdminUrl', postgres.adminUrl);
  project.provide('postgresVersion', postgres.version);
  project.provide('redisUrl', redis.url);
  return async () => {
    await Promise.all([postgres.dispose(), redis.dispose()]);
  };
}

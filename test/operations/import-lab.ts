/** A database to import in, and a look at what was moved. */
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { importJobs, type ImportOptions, type ImportReport } from '../../src/operations/import/import-jobs.ts';
import type { ImportSource } from '../../src/operations/import/source.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../support/servers.ts';

export const ACT = { actor: 'tester', reason: 'leaving' };

export interface ImportLab {
  readonly url: string;
  readonly database: Database;
  readonly move: (source: ImportSource, options: ImportOptions) => Promise<ImportReport>;
  /** What is in the outbox, oldest first. */
  readonly written: () => Promise<readonly Readonly<Record<string, unknown>>[]>;
}

export function useImportLab(): ImportLab {
  let test: TestDatabase;
  let database: Database;
  beforeAll(async () => {
    test = await createTestDatabase({ migrate: true });
    database = openDatabase({ url: test.url });
  });
  beforeEach(async () => {
    await database.query('TRUNCATE holdfast.outbox, holdfast.scheduled_message, holdfast.audit');
  });
  afterAll(async () => {
    await database.close();
    await test.drop();
  });
  return {
    get url() {
      return test.url;
    },
    get database() {
      return database;
    },
    move: async (source, options) => importJobs(database, source, options, ACT),
    async written() {
      const { rows } = await database.query(
        `SELECT topic, key, payload::text AS payload, headers->'headers'->>'imported-from' AS source FROM holdfast.outbox ORDER BY seq`,
      );
      return rows;
    },
  };
}

/** How many jobs there are of each name in each state. */
export function states(counts: ImportReport['counts']): Readonly<Record<string, number>> {
  return Object.fromEntries(counts.map(({ name, state, count }) => [`${name} ${state}`, count]));
}

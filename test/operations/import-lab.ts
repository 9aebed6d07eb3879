/** A database to import in, and a look at what was moved. */
import { importJobs, type ImportOptions, type ImportReport } from '../../src/operations/import/import-jobs.ts';
import type { ImportSource } from '../../src/operations/import/source.ts';
import { useLab, type Lab } from './lab.ts';

export const ACT = { actor: 'tester', reason: 'leaving' };

export interface ImportLab {
  readonly lab: Lab;
  readonly move: (source: ImportSource, options: ImportOptions) => Promise<ImportReport>;
  /** What is in the outbox, oldest first. */
  readonly written: () => Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** Empties the tables before each test. */
export function useImportLab(): ImportLab {
  const lab = useLab();
  return {
    lab,
    move: async (source, options) => importJobs(lab.database, source, options, ACT),
    async written() {
      const { rows } = await lab.database.query(
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

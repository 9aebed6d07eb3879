/** The files of migrations count up, each once: two that were written at the same time must not meet on one number unseen. */
import { expect, it } from 'vitest';
import { readMigrations } from '../../src/postgres/migration-files.ts';

it('has one migration for each number, from 1 on', async () => {
  const migrations = await readMigrations('holdfast', new URL('../../migrations/', import.meta.url));
  expect(migrations.map(({ version }) => version)).toEqual(migrations.map((_, index) => index + 1));
});

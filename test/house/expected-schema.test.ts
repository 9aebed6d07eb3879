/** What the doctor compares schemas with is made of the migrations and grants of now. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { sourcesFingerprint } from '../../src/operations/doctor/expected-schema.ts';
import { schemaSources } from '../support/schema-sources.ts';

it('migrations/expected-schema.json is that of these migrations and of docs/roles.md', async () => {
  const file = new URL('../../migrations/expected-schema.json', import.meta.url);
  const { madeOf } = JSON.parse(readFileSync(file, 'utf8')) as { readonly madeOf: string };
  expect(madeOf, 'migrations or grants were changed: run `npm run schema` and commit what it writes').toBe(
    sourcesFingerprint(await schemaSources()),
  );
});

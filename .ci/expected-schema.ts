/**
 * Writes migrations/expected-schema.json: what the migrations make on a server, and what docs/roles.md grants there. Run it after each
 * change of either (`npm run schema`); test/house/expected-schema.test.ts tells when it was forgotten.
 */
import { writeFileSync } from 'node:fs';
import { grantsOfRoles, writeExpectedSchema } from '../src/operations/doctor/expected-schema.ts';
import { schemaObjects } from '../src/operations/doctor/schema-objects.ts';
import { openDatabase } from '../src/postgres/database.ts';
import { migrate } from '../src/postgres/migrator.ts';
import { startPostgres } from '../src/servers/postgres.ts';
import { documentedGrants, documentedRoles } from '../test/support/documented-roles.ts';
import { schemaSources } from '../test/support/schema-sources.ts';

const PREFIX = 'part';
const server = await startPostgres();
const database = openDatabase({ url: server.url });
try {
  await migrate(database);
  for (const role of documentedRoles()) await database.query(`CREATE ROLE ${PREFIX}_${role}`);
  await database.query(documentedGrants(PREFIX));
  const expected = await database.transaction(async (client) => {
    await client.query('SET LOCAL search_path = pg_catalog');
    return {
      objects: await schemaObjects(client, 'holdfast'),
      grants: await grantsOfRoles(client, 'holdfast', PREFIX),
    };
  });
  const file = new URL('../migrations/expected-schema.json', import.meta.url);
  writeFileSync(file, writeExpectedSchema(expected, await schemaSources()));
  console.log(`${expected.objects.length} objects, ${expected.grants.length} grants: ${file.pathname}`);
} finally {
  await database.close();
  await server.dispose();
}

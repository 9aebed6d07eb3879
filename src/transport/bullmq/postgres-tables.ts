/**
 * Creates the tables of BullMQ in PostgreSQL, and a trigger of ours that keeps the place of a message in an ordered queue.
 */
import { assertSchemaCompatibility, quoteSchemaName, runMigrations, SchemaMigrationRequiredError } from 'bullmq';
import { Client, type ClientConfig } from 'pg';

/** See migrateBullmqPostgres. */
export async function migrateTables(connection: string | ClientConfig, schema: string): Promise<void> {
  const client = new Client(connection);
  client.on('error', () => {}); // the query that meets the failure rejects
  await client.connect();
  try {
    try {
      await assertSchemaCompatibility(client, schema, { skipVersionCheck: true });
    } catch (error) {
      if (!(error instanceof SchemaMigrationRequiredError)) throw error;
    }
    // Reads its ledger under an advisory lock and returns at once when nothing is pending.
    await runMigrations(client, schema, { skipVersionCheck: true });
    await keepPlaces(client, quoteSchemaName(schema));
  } finally {
    await client.end();
  }
}

async function keepPlaces(client: Client, schema: string): Promise<void> {
  const there = await client.query(
    `select 1 from pg_trigger where tgrelid = '${schema}.job'::regclass and tgname = 'holdfast_keep_place'`,
  );
  if (there.rowCount !== 0) return;
  await client.query(`
    begin;
    -- The lock that the trigger needs, taken before the function is written, so that those who start at once take turns.
    set local lock_timeout = '2s';
    lock table ${schema}.job in share row exclusive mode;
    create or replace function ${schema}.holdfast_keep_place() returns trigger language plpgsql as $$
    begin
      if exists (select 1 from ${schema}.meta where queue = new.queue and field = 'holdfastOrdered') then
        new.seq := old.seq;
      end if;
      return new;
    end $$;
    create or replace trigger holdfast_keep_place before update on ${schema}.job
      for each row when (old.state = 'active' and new.state = 'waiting') execute function ${schema}.holdfast_keep_place();
    commit`);
}

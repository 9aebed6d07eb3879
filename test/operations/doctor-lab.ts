/**
 * A server of its own for the looks of the doctor, with settings as in production, and ways to look at it and to mend it.
 */
import { Client } from 'pg';
import { afterAll, beforeAll } from 'vitest';
import {
  settleDoctorOptions,
  type Check,
  type CheckFinding,
  type DoctorLimits,
  type DoctorOptions,
} from '../../src/operations/doctor/finding.ts';
import { limitedDatabase } from '../../src/operations/doctor/limited-database.ts';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { eventually } from '../support/eventually.ts';
import { startPostgres, type PostgresServer } from '../support/servers.ts';

interface Look {
  readonly limits?: Partial<DoctorLimits>;
  readonly options?: DoctorOptions;
  readonly on?: Database;
}

export interface DoctorLab {
  readonly server: PostgresServer;
  /** Migrated. */
  readonly database: Database;
  /** A session of the superuser. */
  readonly admin: Client;
  /** As the doctor makes one check. */
  readonly look: (check: Check, look?: Look) => Promise<readonly CheckFinding[]>;
  /** Each statement by itself, as some of them will not stand in a transaction with others. */
  readonly run: (repair: string | undefined) => Promise<void>;
  /** Until the server has read its settings again. */
  readonly settled: (name: string, value: string) => Promise<boolean>;
}

export const namesOf = (found: readonly { readonly level: string; readonly check: string }[]): readonly string[] =>
  found.map(({ level, check }) => `${level} ${check}`);

export function useDoctorLab(): DoctorLab {
  let server: PostgresServer;
  let database: Database;
  let admin: Client;
  beforeAll(async () => {
    const settings = { wal_level: 'logical', archive_mode: 'on', archive_command: '/bin/true' };
    server = await startPostgres({ durable: true, settings });
    database = openDatabase({ url: server.url });
    await migrate(database);
    admin = new Client({ connectionString: server.url });
    await admin.connect();
  });
  afterAll(async () => {
    await admin.end();
    await database.close();
    await server.dispose();
  });
  return {
    get server() {
      return server;
    },
    get database() {
      return database;
    },
    get admin() {
      return admin;
    },
    look: async (check, { limits, options, on = database } = {}) =>
      check(limitedDatabase(on), settleDoctorOptions(options, limits)),
    run: async (repair) => {
      const statements = (repair ?? '').split(/;\s*/).filter((text) => text.replace(/^--.*/, '') !== '');
      for (const each of statements) await admin.query(each);
    },
    settled: (name, value) =>
      eventually(`${name} = ${value}`, async () => {
        const { rows } = await database.query<{ v: string }>('SELECT current_setting($1) AS v', [name]);
        return rows[0]?.v === value;
      }),
  };
}

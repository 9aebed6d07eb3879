/**
 * Mistakes in what is lent to handlers, in migrations and their migrator, and in how sleepers are woken.
 */
import type { Mutant } from '../mutant.ts';

const LENT = 'src/postgres/lent-client.ts';
const MIGRATOR = 'src/postgres/migrator.ts';
const APPLY = 'src/postgres/apply-migration.ts';
const FILES = 'src/postgres/migration-files.ts';
const OUTBOX_SQL = 'migrations/0001_outbox.sql';
const lent = ['test/inbox/lent-transactions.test.ts'];
const migrator = ['test/postgres/migrator.test.ts'];
const sql = ['test/outbox/sql.test.ts'];

export const POSTGRES_BESIDE: readonly Mutant[] = [
  {
    name: 'postgres/lent/left-open',
    file: LENT,
    from: `return this.#refused ?? (this.#depth > 0 ? leftOpen() : null);`,
    to: `return this.#refused;`,
    breaks: 'a transaction of the guest that was not ended is committed as if it were',
    tests: lent,
  },
  {
    name: 'postgres/lent/rolled-back-stays',
    file: LENT,
    from: ': `ROLLBACK TO SAVEPOINT ${name};RELEASE SAVEPOINT ${name}`;',
    to: ': `RELEASE SAVEPOINT ${name}`;',
    breaks: 'what the guest rolls back stays',
    tests: lent,
  },
  {
    name: 'postgres/lent/ends-ours',
    file: LENT,
    from: `    if (this.#depth === 0) return undefined;
    const name = nameOf(this.#depth);`,
    to: `    if (this.#depth === 0) return does;
    const name = nameOf(this.#depth);`,
    breaks: 'I4: a COMMIT of the guest commits its effect without the mark',
    tests: lent,
  },
  {
    name: 'postgres/lent/released',
    file: LENT,
    from: `        if (property === 'release' || property === 'end') return refuseRelease;
`,
    to: '',
    breaks: 'I20: a handler gives our connection to others in the middle of our transaction',
    tests: ['test/inbox/lent-client.test.ts'],
  },
  {
    name: 'postgres/lent/after-its-time',
    file: LENT,
    from: `    if (this.#over) return refuseCall(given, tooLate());
`,
    to: '',
    breaks: 'I20: what a handler does late is written into the next message',
    tests: ['test/inbox/lent-client.test.ts'],
  },
  {
    name: 'postgres/lent/traces-unseen',
    file: LENT,
    from: `      this.#traces ||= inspection.leavesTraces;
`,
    to: '',
    breaks: 'I20: what a handler has set is set for the next message',
    tests: lent,
  },
  {
    name: 'postgres/lent/other-isolation',
    file: LENT,
    from: `if (asks === 'isolation' || asks === 'chain' || asks === 'two phases') return undefined;`,
    to: `if (asks === 'chain' || asks === 'two phases') return undefined;`,
    breaks: 'a guest that asks for SERIALIZABLE gets something else in silence',
    tests: lent,
  },
  {
    name: 'postgres/migrator/emptied-ledger',
    file: MIGRATOR,
    from: `      if (applied.length === 0) await refuseEmptiedLedger(client, database.schema);
`,
    to: `      void refuseEmptiedLedger;
`,
    breaks: 'a ledger that was emptied has all migrations run into tables that are there',
    tests: migrator,
  },
  {
    name: 'postgres/migrator/changed-file-runs',
    file: MIGRATOR,
    from: `      checkLedger(applied, files, database.schema);
`,
    to: '',
    breaks: 'later files are applied behind one that is not what was applied',
    tests: migrator,
  },
  {
    name: 'postgres/migrator/changed-is-applied',
    file: MIGRATOR,
    from: `const state = row.checksum === checksum ? 'applied' : 'changed';`,
    to: `const state = row.checksum !== '' ? 'applied' : 'changed';`,
    breaks: 'status says that all is well with a file that was changed',
    tests: migrator,
  },
  {
    name: 'postgres/migrator/old-tables-will-do',
    file: MIGRATOR,
    from: `  if (version >= needed) return;`,
    to: `  if (version > 0 && needed > 0) return;`,
    breaks: 'a service starts on tables that are too old for it',
    tests: migrator,
  },
  {
    name: 'postgres/migrator/applied-twice',
    file: APPLY,
    from: `      if (!(await isPending())) return false;
      await createLedger`,
    to: `      await isPending();
      await createLedger`,
    breaks: 'migrators that start at once apply a file twice',
    tests: migrator,
  },
  {
    name: 'postgres/migrator/turn-kept',
    file: APPLY,
    from: `    await client.query('SELECT pg_advisory_unlock($1)', [lock]).catch(() => undefined);
`,
    to: '',
    breaks: 'after a file without a transaction nobody can migrate until the connection is gone',
    tests: migrator,
  },
  {
    name: 'postgres/migrations/line-ends',
    file: FILES,
    from: "const source = text.replaceAll('\\r\\n', '\\n');",
    to: 'const source = text;',
    breaks: 'a checkout with other line ends refuses to migrate',
    tests: migrator,
  },
  {
    name: 'postgres/migrations/schema-in-place',
    file: FILES,
    from: `sql: source.replaceAll('"holdfast"', quoteIdentifier(assertSchemaName(schema))),`,
    to: `sql: source.replace('"holdfast"', quoteIdentifier(assertSchemaName(schema))),`,
    breaks: 'a second schema is made of tables of the first',
    tests: migrator,
  },
  {
    name: 'outbox/sql/another-lane',
    file: OUTBOX_SQL,
    from: `::bit(16)::integer & 1023)::smallint;`,
    to: `::bit(16)::integer >> 6)::smallint;`,
    breaks: 'I3: messages of a key that are sent by SQL are read by another shard than those of the library',
    tests: ['test/outbox/lane.test.ts'],
  },
  {
    name: 'outbox/sql/id-of-another-kind',
    file: OUTBOX_SQL,
    from: `      52, 1), 53, 1),`,
    to: `      52, 1), 53, 0),`,
    breaks: 'ids that are made by SQL are of no version that carries the time',
    tests: sql,
  },
  {
    name: 'outbox/sql/key-too-long',
    file: OUTBOX_SQL,
    from: `octet_length(send.key) > 1024`,
    to: `octet_length(send.key) > 4096`,
    breaks: 'I18: a key is sent that no consumer reads',
    tests: sql,
  },
  {
    name: 'outbox/sql/any-topic',
    file: OUTBOX_SQL,
    from: `length(send.topic) > 200`,
    to: `length(send.topic) > 2000`,
    breaks: 'I18: a topic is sent that no consumer reads',
    tests: sql,
  },
  {
    name: 'outbox/sql/headers-of-any-kind',
    file: OUTBOX_SQL,
    from: `@.type() != "string"`,
    to: `@.type() == "array"`,
    breaks: 'I18: headers are sent that no consumer reads',
    tests: sql,
  },
  {
    name: 'outbox/sql/version-from-nought',
    file: OUTBOX_SQL,
    from: `send.version IS NULL OR send.version < 1`,
    to: `send.version IS NULL OR send.version < 0`,
    breaks: 'I18: a version is sent that no consumer reads',
    tests: sql,
  },
  {
    name: 'parked/revision/due-for-those-of-before',
    file: 'migrations/0021_parked_revisions.sql',
    from: `  NEW.next_attempt_at := NULL;
`,
    to: '',
    breaks: 'a relay of before publishes what the log has in place of what a person has made of it',
    tests: ['test/relay/revised.test.ts'],
  },
];

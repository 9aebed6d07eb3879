/**
 * The checks of what Holdfast is made of: its tables and functions, rights on them, and what flows through them. See checks.ts.
 */
import type { CheckNotes } from './check-notes.ts';

export const CHECKS_OF_TABLES = {
  'schema.pending': {
    levels: ['error'],
    finds: 'migrations are pending, or there are no tables',
    why: 'Processes of this version do not start.',
    mend: '`holdfast migrate`',
  },
  'schema.changed': {
    levels: ['error'],
    finds: 'an applied migration differs from its file',
    why: 'What the tables are is not what the code expects.',
    mend: 'Reinstall the package; never edit a shipped migration.',
  },
  'schema.newer': {
    levels: ['note'],
    finds: 'the tables are newer than this package',
    why: 'Fine during a deployment. What differs from the migrations is not looked for.',
    mend: 'Upgrade what is left of the older version.',
  },
  'schema.environment': {
    levels: ['error'],
    finds: 'the tables belong to another place or environment',
    why: 'Relays, workers and consumers refuse to start, so that a copy does not go on with what the original does.',
    mend: '`holdfast adopt --reason …`',
  },
  'schema.missing': {
    levels: ['error', 'warn'],
    finds:
      'a table, column, constraint, index, function, trigger, sequence or type that the migrations make is not there; warn: an index that only makes reading fast',
    why: 'Statements fail, what a constraint or trigger would have refused is stored, or each look reads a whole table.',
    mend: 'SQL that makes it anew',
  },
  'schema.differs': {
    levels: ['error', 'warn'],
    finds: 'one of these is there, and is not as the migrations make it; a trigger is disabled',
    why: 'It does something else than the code relies on.',
    mend: 'SQL that makes it as it was',
  },
  'schema.extra': {
    levels: ['note'],
    finds: 'a column, constraint, unique index or trigger on our tables that no migration makes',
    why: 'It can refuse or change what Holdfast writes, and a later migration does not know of it.',
    mend: '`DROP …`, unless it is meant',
  },
  'schema.row-security': {
    levels: ['error'],
    finds: 'row level security is on for one of our tables',
    why: 'A role without a policy sees no row and gets no error: a relay passes messages over.',
    mend: '`ALTER TABLE … DISABLE ROW LEVEL SECURITY`',
  },
  'tables.sequence-cache': {
    levels: ['error'],
    finds: 'the sequence of the log hands out more than one number at a time',
    why: 'The order of the log is not the order of writing: readers pass messages over.',
    mend: '`ALTER SEQUENCE … CACHE 1`',
  },
  'tables.sequence-behind': {
    levels: ['error'],
    finds: 'a sequence is behind the table that it numbers',
    why: 'What is written next is refused, or lies where no reader looks.',
    mend: '`holdfast migrate`',
  },
  'tables.stray-functions': {
    levels: ['error'],
    finds: 'functions write into the tables of another schema: this one was renamed or copied',
    why: 'Messages and runs would go to the original; writers and starts refuse (HF_SCHEMA_MOVED).',
    mend: '`holdfast migrate --schema …`',
  },
  'tables.unlogged': {
    levels: ['error'],
    finds: 'a table is unlogged',
    why: 'A crash of the server empties it, and no standby has it.',
    mend: '`ALTER TABLE … SET LOGGED`',
  },
  'tables.invalid': {
    levels: ['error'],
    finds: 'an index is invalid',
    why: 'It is kept up to date and not used; a unique one does not keep out what is double.',
    mend: '`REINDEX INDEX CONCURRENTLY …`',
  },
  'tables.autovacuum-off': {
    levels: ['warn'],
    finds: 'autovacuum is off for one of our tables',
    why: 'Its dead rows pile up, and each look at it becomes slower.',
    mend: '`ALTER TABLE … RESET (autovacuum_enabled)`',
  },
  'tables.dead-rows': {
    levels: ['warn'],
    finds: 'a table has more than 100,000 dead rows, and more dead ones than live ones',
    why: 'Vacuum does not keep up with what is deleted, or something holds the xmin horizon: the table grows.',
    mend: '`VACUUM (ANALYZE) …`, once what holds the horizon is gone',
  },
  'tables.bloat': {
    levels: ['warn'],
    finds: 'a table or an index takes four times the space that its rows need, and more than 1 GiB above it',
    why: 'It is read from disk instead of memory, and the disk is not given back by itself.',
    mend: '`REINDEX INDEX CONCURRENTLY …`; for a table `VACUUM (FULL) …`, which locks it, or pg_repack',
  },
  'roles.forge': {
    levels: ['warn'],
    finds: 'a role may write rows that only functions should write',
    why: 'Whoever has its password can send what it likes, end runs, or empty the audit.',
    mend: '`REVOKE … ON … FROM …`, and the grants of [roles](roles.md) for its part',
  },
  'roles.missing-grant': {
    levels: ['warn'],
    finds:
      'a role that is used as relay, worker, consumer, participant, starter, operator or service lacks some of the rights of its part',
    why: 'What it does with them fails, perhaps only in a case that is rare.',
    mend: '`GRANT … ON … TO …`',
  },
  'roles.public-execute': {
    levels: ['warn'],
    finds: 'everybody may execute a function that only some roles should',
    why: 'Each role that may use the schema can write runs, or read them, through it.',
    mend: '`REVOKE ALL ON FUNCTION … FROM PUBLIC`',
  },
  'roles.door-owner': {
    levels: ['error'],
    finds: 'functions that run with the rights of their owner belong to a role that may not write the tables',
    why: 'Whoever sends or starts through them is refused.',
    mend: '`ALTER FUNCTION … OWNER TO …`',
  },
  'flow.no-subscription': {
    levels: ['warn'],
    finds: 'no relay has run on this database',
    why: 'Nothing is published, and nothing is pruned.',
    mend: '`holdfast relay --route …`',
  },
  'flow.no-lease': {
    levels: ['error'],
    finds: 'no relay holds a subscription',
    why: 'Its messages wait, and the log is kept for it.',
    mend: 'Start a relay with it, or `holdfast subscription drop …`.',
  },
  'flow.broker': {
    levels: ['error'],
    finds: 'the broker does not take messages',
    why: 'They wait in the outbox; nothing is lost.',
    mend: 'See to the broker; the relay goes on by itself.',
  },
  'flow.lag': {
    levels: ['warn'],
    finds: 'a subscription is more than a minute behind',
    why: 'Messages come late.',
    mend: 'Look at the load of relay, database and broker; `shards` shares the work.',
  },
  'flow.stalls': {
    levels: ['warn'],
    finds: 'relays died in a row at the same place',
    why: 'A message may be killing them; the relay looks for it and parks it.',
    mend: 'See why they died (memory?).',
  },
  'flow.dead-letters': {
    levels: ['warn'],
    finds: 'there are parked messages that no retry takes up',
    why: 'They, and those of their keys behind them, wait for a person.',
    mend: '`holdfast parked ls --state dead`',
  },
  'flow.retention-held-up': {
    levels: ['warn'],
    finds: 'the log reaches back further than it is to be kept, for a subscription that has not read it',
    why: 'It grows until the subscription has.',
    mend: 'Start a relay with it, or `holdfast subscription drop …`.',
  },
  'flow.no-handler': {
    levels: ['warn'],
    finds: 'a consumer has parked messages that none of its processes has a handler for',
    why: 'They wait until one has.',
    mend: 'Start a process that has one; or name the topics in `ignore`.',
  },
  'flow.inbox-retention': {
    levels: ['note'],
    finds: 'the inbox of a consumer does not reach back as far as the log',
    why: 'A replay from before its beginning would repeat effects.',
    mend: 'Nothing, for a new consumer; else a longer `retention` of the consumer.',
  },
  'flow.inbox-horizon': {
    levels: ['warn'],
    finds: 'a consumer keeps its marks for a shorter time than the log keeps messages',
    why: 'A message that is replayed after its mark is gone has its effect twice.',
    mend: 'A longer `retention` of the consumer, or a shorter one of the subscription.',
  },
  'flow.brokers': {
    levels: ['warn'],
    finds: 'a consumer receives from another broker than the relay publishes to',
    why: 'Its messages lie where nobody takes them.',
    mend: 'Give relay and consumer the same broker and the same prefix or schema, unless these are two names of one.',
  },
  'flow.unfed-queue': {
    levels: ['note'],
    finds: 'no route of this database leads to the queue of a consumer',
    why: 'It receives nothing, unless a relay of another database feeds it.',
    mend: 'Add a route to its queue, or correct the name on one side.',
  },
  'flow.unread-route': {
    levels: ['note'],
    finds: 'no consumer that keeps its inbox in this database receives from a queue that a route leads to',
    why: 'Its messages pile up in the broker, unless a consumer with a database of its own takes them.',
    mend: 'Start the consumer, correct the name on one side, or drop the route.',
  },
  'sagas.nobody': {
    levels: ['error'],
    finds: 'due runs of a saga that no live worker has in that version',
    why: 'They do not move.',
    mend: 'Start a worker that has it.',
  },
  'sagas.childless': {
    levels: ['error'],
    finds: 'runs wait for children whose saga no live worker has in that version',
    why: 'They neither go on nor are compensated.',
    mend: 'Start a worker that has it.',
  },
  'sagas.journal': {
    levels: ['warn'],
    finds: 'journals have used up half of what they may hold',
    why: 'A full one makes no more calls, and its run is stuck.',
    mend: 'A higher `sagas.maxEvents` or `sagas.maxJournalBytes`; split long loops.',
  },
  'sagas.stuck': {
    levels: ['warn'],
    finds: 'runs are stuck',
    why: 'They wait for a person.',
    mend: '`holdfast saga ls --stuck`',
  },
  'sagas.two-codes': {
    levels: ['warn'],
    finds: 'live workers offer one saga and version with different code',
    why: 'A run that fits only one of them is left to that one; changed code under which old runs go on makes them stuck.',
    mend: 'End the deployment that is under way; give changed code a new version.',
  },
  'sagas.expired-worker': {
    levels: ['error', 'note'],
    finds: 'the lease of a worker is over, and it was not stopped in order; error: nobody has taken over its runs',
    why: 'It was lost, or hangs.',
    mend: 'See why it ended; any worker that runs takes over what it left.',
  },
  'jobs.orphaned': {
    levels: ['warn'],
    finds: 'an act on many is open, and nobody goes on with it: its process was stopped or died',
    why: 'What it has not come to yet stays as it is.',
    mend: '`holdfast job resume …`',
  },
} as const satisfies Readonly<Record<string, CheckNotes>>;

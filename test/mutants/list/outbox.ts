/**
 * Mistakes in the writer: options, lanes, delayed messages, and the functions in SQL that write the log.
 */
import type { Mutant } from '../mutant.ts';

const OPTIONS = 'src/outbox/send-options.ts';
const PAST = 'src/outbox/at-most-once.ts';
const WRITER = 'src/outbox/outbox.ts';
const SQL = 'migrations/0004_outbox_guards.sql';

export const OUTBOX: readonly Mutant[] = [
  {
    name: 'outbox/options/correlation-not-begun',
    file: OPTIONS,
    from: 'options.correlationId ?? causedBy?.correlationId ?? causedBy?.id',
    to: 'options.correlationId ?? causedBy?.correlationId',
    breaks: 'what a message has caused cannot be found',
    tests: ['test/outbox/send-options.test.ts'],
  },
  {
    name: 'outbox/options/trace-of-two',
    file: OPTIONS,
    from: '  if (traceparent !== undefined) return { traceparent, tracestate };',
    to: '  if (traceparent !== undefined) return { traceparent, tracestate: tracestate ?? causedBy?.tracestate ?? undefined };',
    breaks: 'a message bears the state of another trace',
    tests: ['test/outbox/send-options.test.ts'],
  },
  {
    name: 'outbox/options/year-in-seconds',
    file: OPTIONS,
    from: 'if (year < 1970 || year > 9999)',
    to: 'if (year < 1970)',
    breaks: 'a time in microseconds is refused by the database, or never comes',
    tests: ['test/outbox/send-options.test.ts'],
  },
  {
    name: 'outbox/options/both-times',
    file: OPTIONS,
    from: `  if (deliverAt !== undefined && delay !== undefined)
    throw bad(where, 'both deliverAt and delay are given', 'Give one of them.');
`,
    to: '',
    breaks: 'of two times that were given one is dropped',
    tests: ['test/outbox/send-options.test.ts'],
  },
  {
    name: 'outbox/past/refusal-is-sent',
    file: PAST,
    from: `      if (outcome?.kind !== 'published') {`,
    to: '      if (outcome === undefined) {',
    breaks: 'a message that the broker has refused is said to be sent',
    tests: ['test/outbox/at-most-once.test.ts'],
  },
  {
    name: 'outbox/past/delay-dropped',
    file: PAST,
    from: '      if (prepared.due !== undefined) {',
    to: '      if (prepared.due === null) {',
    breaks: 'I12: a delayed message is sent at once',
    tests: ['test/outbox/at-most-once.test.ts'],
  },
  {
    name: 'outbox/lane/of-the-id',
    file: 'src/outbox/prepare.ts',
    from: 'lane: laneOf(key ?? id)',
    to: 'lane: laneOf(id)',
    breaks: 'I3: two messages of a key are published by two shards',
    tests: ['test/outbox/outbox.test.ts'],
  },
  {
    name: 'outbox/send/delayed-at-once',
    file: WRITER,
    from: '      if (message.due === undefined) {',
    to: `      if (message.due === undefined || 'delay_ms' in message.due) {`,
    breaks: 'I12: a delayed message goes out at once',
    tests: ['test/outbox/outbox.test.ts'],
  },
  {
    name: 'outbox/send/batch-loses-what-is-due-now',
    file: WRITER,
    from: '  ].filter((batch) => batch.messages.length > 0);',
    to: '  ].slice(later.length > 0 ? 1 : 0).filter((batch) => batch.messages.length > 0);',
    breaks: 'I1: of a batch with delayed messages the others are lost',
    tests: ['test/outbox/outbox.test.ts'],
  },
  {
    name: 'outbox/send/duplicate-unsaid',
    file: WRITER,
    from: `    case undefined:
      return undefined;
    case 'outbox_pkey':`,
    to: `    case undefined:
      return undefined;
    case 'outbox_id':
    case 'outbox_pkey':`,
    breaks: 'a message that is sent twice is said to be the fault of a sequence',
    tests: ['test/outbox/outbox.test.ts'],
  },
  {
    name: 'outbox/sql/xid-after-the-seq',
    file: SQL,
    from: `  writer := pg_current_xact_id();
  SELECT q.last_value = 2 AS asleep`,
    to: `  PERFORM nextval('"holdfast".outbox_seq_seq');
  writer := pg_current_xact_id();
  SELECT q.last_value = 2 AS asleep`,
    breaks: 'I1: a row bears a later xid than the snapshot and an earlier seq than the cursor, and is never found',
    tests: ['test/outbox/sql.test.ts'],
  },
  {
    name: 'outbox/sql/outside-of-a-transaction',
    file: SQL,
    from: `  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN false;
  END IF;
  writer := pg_current_xact_id();
  SELECT`,
    to: `  writer := pg_current_xact_id();
  SELECT`,
    breaks: 'I2: a message that is sent outside of a transaction is published whatever becomes of the change',
    tests: ['test/outbox/sql.test.ts'],
  },
  {
    name: 'outbox/sql/scheduled-outside-of-a-transaction',
    file: SQL,
    from: `  IF require_transaction AND pg_current_xact_id_if_assigned() IS NULL THEN
    PERFORM pg_current_xact_id();
    RETURN false;
  END IF;
  INSERT INTO "holdfast".scheduled_message`,
    to: '  INSERT INTO "holdfast".scheduled_message',
    breaks: 'I2: a delayed message that is sent outside of a transaction comes whatever becomes of the change',
    tests: ['test/outbox/outbox.test.ts'],
  },
  {
    name: 'outbox/sql/due-by-the-sender',
    file: SQL,
    from: `coalesce(m.due_at, clock_timestamp() + m.delay_ms * interval '1 millisecond')`,
    to: `coalesce(m.due_at, clock_timestamp() - m.delay_ms * interval '1 millisecond')`,
    breaks: 'I12: a delayed message comes at once',
    tests: ['test/outbox/outbox.test.ts'],
  },
  {
    name: 'outbox/send/twins',
    file: WRITER,
    from: `      refuseTwins(messages);
`,
    to: '',
    breaks: 'the database refuses a batch in the middle of the transaction, without saying which message',
    tests: ['test/outbox/outbox.test.ts'],
  },
  {
    name: 'outbox/options/id-in-capitals',
    file: OPTIONS,
    from: 'id: id?.toLowerCase()',
    to: 'id',
    breaks: 'I4: one id, written in two ways, is two messages',
    tests: ['test/outbox/send-options.test.ts'],
  },
];

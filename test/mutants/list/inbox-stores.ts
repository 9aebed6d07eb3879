/**
 * Mistakes in the tables of a consumer: marks, parked messages, suspects.
 */
import type { Mutant } from '../mutant.ts';

const INBOX = 'src/inbox/stores/inbox-store.ts';
const PARKED = 'src/inbox/stores/parked-delivery-store.ts';

export const INBOX_STORES: readonly Mutant[] = [
  {
    name: 'inbox/marks/prunes-what-is-parked',
    file: INBOX,
    from: `
           AND NOT EXISTS (SELECT 1 FROM \${this.#schema}.parked_delivery p WHERE p.consumer = i.consumer AND p.message_id = i.message_id)`,
    to: ``,
    breaks: 'I4: a duplicate of a parked message is handled, and then the parked one',
    tests: ['test/inbox/retention.test.ts'],
  },
  {
    name: 'inbox/marks/prunes-those-of-others',
    file: INBOX,
    from: `WHERE i.consumer = $1 AND i.handled_at < now()`,
    to: `WHERE $1::text IS NOT NULL AND i.handled_at < now()`,
    breaks: 'I4: the marks of a consumer with a longer retention are pruned',
    tests: ['test/inbox/retention.test.ts'],
  },
  {
    name: 'inbox/parked/not-the-first-of-its-key',
    file: PARKED,
    from: `e.key = p.key AND e.position < p.position)`,
    to: `e.key = p.key AND e.position > p.position)`,
    breaks: 'I3: a later message of a key is redriven before the first',
    tests: ['test/inbox/redrive.test.ts', 'test/inbox/ordered.test.ts'],
  },
  {
    name: 'inbox/parked/redrives-not-counted',
    file: PARKED,
    from: `SET redrives = redrives + 1, attempts = attempts + 1,`,
    to: `SET attempts = attempts + 1,`,
    breaks: 'a parked message is tried for ever, and no person told',
    tests: ['test/inbox/redrive.test.ts'],
  },
  {
    name: 'inbox/parked/next-of-the-key-left-asleep',
    file: PARKED,
    from: `         WHERE next.state = 'behind' OR next.reason = $3)`,
    to: `         WHERE next.state <> 'behind' AND next.reason = $3)`,
    breaks: 'I17: what waits behind a parked message is not taken up when that is done',
    tests: ['test/inbox/ordered.test.ts', 'test/inbox/redrive.test.ts'],
  },
];

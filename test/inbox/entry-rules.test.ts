/** Whether a message is entered, from what its first statements have answered: without a database. */
import { expect, it } from 'vitest';
import type { ConsumerContext } from '../../src/inbox/delivery/consumer-context.ts';
import { enterMarked, type DeliveryAttempt } from '../../src/inbox/delivery/entry.ts';
import type { OpenUnitOfWork } from '../../src/inbox/handlers/unit-of-work.ts';
import { createInboxStore } from '../../src/inbox/stores/inbox-store.ts';
import { createParkedDeliveryStore } from '../../src/inbox/stores/parked-delivery-store.ts';
import type { Row } from '../../src/postgres/executor.ts';

const context = {
  name: 'shipping',
  ordered: true,
  inbox: createInboxStore('holdfast', 'shipping'),
  parked: createParkedDeliveryStore('holdfast', 'shipping'),
} as unknown as ConsumerContext<unknown>;

/** What becomes of a message of a key when these were the answers: to the lock, to the mark, and to all that is asked then. */
async function enter(answers: { locked: boolean; marked?: number; rows: readonly Row[]; parked?: boolean }) {
  const { locked, marked = 0, rows, parked = false } = answers;
  const incoming = {
    id: '0193b2c4-0000-7000-8000-000000000001',
    key: 'k',
    wire: '{}',
    envelope: { predecessor: null },
  };
  const attempt = { incoming, handler: { kind: 'exactly-once' }, parked, sinceMs: 0 };
  const results = [
    { rows: [{ locked: String(locked) }], count: 1 },
    { rows: [], count: marked },
  ];
  const opened = { results, execute: async () => rows } as unknown as OpenUnitOfWork<unknown>;
  return enterMarked(context, attempt as unknown as DeliveryAttempt<unknown>).enter(opened);
}

const nothing = { handled: false, predecessor: true, found: null, awaits: null, later: false };
/** As own results are read: one row with all of them. */
const facts = (rest: object = {}): readonly Row[] => [{ answer: JSON.stringify([{ ...nothing, ...rest }]) }];

it('waits while another message of its key is being handled, also when its mark could be written', async () => {
  expect(await enter({ locked: true, marked: 1, rows: [] })).toBe('enter');
  expect(await enter({ locked: false, marked: 1, rows: facts() })).toBe('busy');
  expect(await enter({ locked: false, rows: facts() })).toBe('busy');
});

it('is a duplicate when its mark was there', async () => {
  expect(await enter({ locked: true, rows: facts({ handled: true }) })).toBe('duplicate');
});

it('is gone for a redrive when somebody else has its row, or has handled it', async () => {
  expect(await enter({ locked: true, rows: [], parked: true })).toBe('gone');
  expect(await enter({ locked: false, rows: [], parked: true })).toBe('busy');
  expect(await enter({ locked: true, rows: [{ reason: 'gave up after retries' }], parked: true })).toBe('enter');
});

/** Who parks a message says what kind of error it is, exactly as the database would; the triggers do so for who does not. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createParkedDeliveryStore } from '../../src/inbox/stores/parked-delivery-store.ts';
import { toExecutor } from '../../src/postgres/executor.ts';
import { errorFingerprint } from '../../src/runtime/error-fingerprint.ts';
import { NOBODY, useLab } from './lab.ts';

const lab = useLab();
const REASON = 'gave up after retries';

async function bySql(reason: string, errors: readonly string[]): Promise<readonly string[]> {
  const { rows } = await lab.database.query<{ fingerprint: string }>(
    'SELECT holdfast.error_fingerprint($1, e) AS fingerprint FROM unnest($2::text[]) WITH ORDINALITY AS u (e, n) ORDER BY n',
    [reason, errors],
  );
  return rows.map(({ fingerprint }) => fingerprint);
}

/** What the expressions of the definition begin, end, join and look around at. */
const PIECES = [
  [
    '"',
    "'",
    '`',
    '\\',
    '\\"',
    '/',
    '//',
    './',
    '~/',
    '..',
    ':',
    '://',
    ':\\',
    '@',
    '.',
    ',',
    ', ',
    ' ',
    '  ',
    '+',
    '-',
    '_',
  ],
  [
    '<',
    '>',
    '<n>',
    '<text>',
    '<path>',
    '(',
    ')',
    '[',
    ']',
    ': [',
    '] ',
    ': [42P01] ',
    ': [HF_A-1] ',
    ';',
    '?',
    '=',
    '%',
  ],
  ['Mon', 'Tue, ', 'Jan ', 'Dec', 'May, ', '\t', '\n', '\u0001', '\u0008', '\u000E', '\u001F', '\u007F', "can't"],
  [
    'a',
    'Z',
    '0',
    '7',
    '42',
    '2026-01-31T08:00:00Z',
    'https',
    'C',
    'at',
    'order',
    'ä',
    'ß',
    '日本',
    '🚀',
    '\uFFFD',
    '«',
  ],
  // Long enough to be rare by chance.
  ["'x', 'y'", '"x", ', '`x`, `y`', 'ada@example.com', 'a.b+c@x-y.example', 'mailto:ada@example.com'],
].flat();
const salad = fc.array(fc.constantFrom(...PIECES), { maxLength: 40, size: 'max' }).map((pieces) => pieces.join(''));
const texts = fc.oneof(
  { weight: 6, arbitrary: salad },
  { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 60, size: 'max' }) },
  {
    weight: 1,
    arbitrary: fc.array(salad, { minLength: 8, maxLength: 12, size: 'max' }).map((parts) => parts.join(' ')),
  },
  // Whose pattern is about as long as it may be, in characters that are one or two units.
  {
    weight: 1,
    arbitrary: fc.string({ unit: fc.constantFrom('a', 'ä', '🚀'), minLength: 290, maxLength: 310, size: 'max' }),
  },
);

describe('the fingerprint that is noted with what is parked', () => {
  it('is the one of the database, whatever the error says', async () => {
    const errors = fc.sample(texts, { numRuns: 6_000, seed: 20_261_129 }).map((text) => text.replaceAll('\u0000', ''));
    const found = await bySql(REASON, errors);
    const differing = errors.filter((error, n) => errorFingerprint(REASON, error) !== found[n]);
    expect(differing.slice(0, 3)).toEqual([]);
    expect(new Set(found).size).toBeGreaterThan(1_000);
  });

  it('is left to the database where its locale has a say, and is none where there is no error', () => {
    for (const space of ['\u00A0', '\u0085', '\u2003', '\u202F', '\u3000', '\u200B', '\uE000'])
      expect(errorFingerprint(REASON, `Error: 1${space}234`)).toBeNull();
    expect(errorFingerprint(REASON, 'Fehler: Größe 17 – 世界 🚀')).toMatch(/^[0-9a-f]{12}$/);
    expect(errorFingerprint(REASON, null)).toBeNull();
  });

  it('comes to its end on any text', () => {
    const hard = [
      'a'.repeat(2_000),
      `${'a.'.repeat(1_000)}@`,
      "'a ".repeat(600),
      '"\\'.repeat(1_000),
      '1-'.repeat(1_000),
    ];
    for (const error of [...hard, `${'/a'.repeat(990)}://`, ': [1'.repeat(500), `://${'x+'.repeat(990)}`])
      expect(errorFingerprint(REASON, error)).toHaveLength(12);
  });
});

interface Noted {
  readonly reason: string;
  readonly error: string;
  readonly fingerprint: string | null;
}

async function noted(table: 'parked_message' | 'parked_delivery'): Promise<readonly Noted[]> {
  const { rows } = await lab.database.query<Noted>(`SELECT reason, error, fingerprint FROM holdfast.${table}`);
  return rows;
}

/** As in a database whose triggers cannot help. */
async function withoutTriggers<T>(act: () => Promise<T>): Promise<T> {
  const set = (to: 'ENABLE' | 'DISABLE') =>
    lab.database.query(
      `ALTER TABLE holdfast.parked_message ${to} TRIGGER USER; ALTER TABLE holdfast.parked_delivery ${to} TRIGGER USER`,
    );
  await set('DISABLE');
  try {
    return await act();
  } finally {
    await set('ENABLE');
  }
}

describe('who parks', () => {
  it('notes it: a relay, when it parks, and when what it has parked fails in another way', async () => {
    await withoutTriggers(async () => {
      const { relay } = await lab.withParked([{ n: 1 }, { n: 2 }], new Set([1]));
      const expectNoted = async (message: string): Promise<void> => {
        const rows = await noted('parked_message');
        const [failed, behind] = [
          rows.filter(({ error }) => error !== null),
          rows.filter(({ error }) => error === null),
        ];
        expect(failed.map(({ error }) => error)).toEqual([message]);
        for (const { reason, error, fingerprint } of failed)
          expect([fingerprint]).toEqual(await bySql(reason, [error]));
        // One that waits behind it has no error.
        expect(behind.map(({ fingerprint }) => fingerprint)).toEqual([null]);
      };
      await expectNoted('Error: too big');
      await relay.stop();
      await lab.database.query(`UPDATE holdfast.parked_message SET next_attempt_at = now() WHERE state = 'failed'`);
      // One that has just begun looks at what is parked at once.
      const next = await lab.relayOf();
      next.transport.respond = async (batch) =>
        batch.map(() => ({ kind: 'refused', permanent: true, error: new Error('the queue is gone') }));
      await next.relay.tick();
      await expectNoted('Error: the queue is gone');
    });
  });

  it('notes it: a consumer, when it parks, when it fails again, and when it has no handler any more', async () => {
    const parked = createParkedDeliveryStore('holdfast', 'billing');
    const kept = async (act: (execute: ReturnType<typeof toExecutor>) => Promise<void>) => {
      await withoutTriggers(() => lab.database.transaction((client) => act(toExecutor(client))));
      const [row] = await noted('parked_delivery');
      expect([row?.fingerprint]).toEqual(await bySql(row?.reason ?? '', [row?.error ?? '']));
      return row?.error;
    };
    const status = { state: 'failed', reason: REASON, retryInMs: null } as const;
    const record = { messageId: NOBODY, topic: 'note.taken', key: null, envelope: '{}', attempts: 5 };
    expect(await kept((on) => parked.insert(on, { ...record, ...status, error: 'Error: no 1' }))).toBe('Error: no 1');
    expect(await kept((on) => parked.keep(on, NOBODY, { ...status, error: 'Error: not 2' }))).toBe('Error: not 2');
    expect(await kept((on) => parked.handOn(on, NOBODY, 'nobody has it'))).toBe('nobody has it');
  });
});

describe.each(['parked_message', 'parked_delivery'] as const)('the triggers of %s', (table) => {
  const one = async (): Promise<string | null> => (await noted(table))[0]?.fingerprint ?? null;

  async function insert(given: string | null, error: string | null): Promise<void> {
    const [columns, values] =
      table === 'parked_message'
        ? ['subscription, seq, id, topic, lane', `'main', 1, gen_random_uuid(), 'a.b', 0`]
        : ['consumer, message_id, topic, envelope', `'billing', gen_random_uuid(), 'a.b', '{}'`];
    const named = given === null ? ['', ''] : [', fingerprint', `, '${given}'`];
    await lab.database.query(
      `INSERT INTO holdfast.${table} (${columns}, state, reason, error${named[0]}) VALUES (${values}, 'failed', $1, $2${named[1]})`,
      [REASON, error],
    );
  }
  const update = (set: string) => lab.database.query(`UPDATE holdfast.${table} SET ${set}`);
  const of = async (error: string, reason = REASON) => (await bySql(reason, [error]))[0];

  it('take what is said for said, and do not make it anew', async () => {
    await insert('given0000001', 'Error: no 1');
    expect(await one()).toBe('given0000001');
    await update(`error = 'Error: not 2', fingerprint = 'given0000002'`);
    expect(await one()).toBe('given0000002');
    await update(`error = 'Error: not 2', reason = '${REASON}', fingerprint = 'given0000002'`);
    expect(await one()).toBe('given0000002');
  });

  it('fill in what processes of before leave out, and follow what these change', async () => {
    await insert(null, 'Error: no 1');
    expect(await one()).toBe(await of('Error: no 1'));
    await update(`error = 'Error: not 2'`);
    expect(await one()).toBe(await of('Error: not 2'));
    await update(`reason = 'another'`);
    expect(await one()).toBe(await of('Error: not 2', 'another'));
    await update('error = NULL');
    expect(await one()).toBeNull();
    await update(`error = 'Error: not 3'`);
    expect(await one()).toBe(await of('Error: not 3', 'another'));
  });

  it('follow what processes of before change of a row that another has noted', async () => {
    await insert('given0000001', 'Error: no 1');
    await update(`error = 'Error: not 2'`);
    expect(await one()).toBe(await of('Error: not 2'));
  });
});

/** Kinds of errors: what is the same kind has one fingerprint, what is not has not, and groups count them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parkedGroups } from '../../src/operations/parked/parked-groups.ts';
import { groupIdOf, readGroupId } from '../../src/operations/parked/parked-rows.ts';
import { showParked } from '../../src/operations/parked/parked.ts';
import { NOBODY, useLab } from './lab.ts';

const lab = useLab();

async function patternsOf(errors: readonly string[]): Promise<readonly string[]> {
  const { rows } = await lab.database.query<{ pattern: string }>(
    'SELECT holdfast.error_pattern(e) AS pattern FROM unnest($1::text[]) WITH ORDINALITY AS u (e, n) ORDER BY n',
    [errors],
  );
  return rows.map(({ pattern }) => pattern);
}

async function fingerprintsOf(errors: readonly string[]): Promise<readonly string[]> {
  const { rows } = await lab.database.query<{ fingerprint: string }>(
    `SELECT holdfast.error_fingerprint('gave up', e) AS fingerprint FROM unnest($1::text[]) WITH ORDINALITY AS u (e, n) ORDER BY n`,
    [errors],
  );
  return rows.map(({ fingerprint }) => fingerprint);
}

/** Values as they stand in messages of errors. */
const hex = fc.stringMatching(/^[0-9a-f]{24}$/).filter((text) => /\d/.test(text));
const date = fc.date({ min: new Date('2020-01-01'), max: new Date('2039-12-31'), noInvalidDate: true });
const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/);
const value = {
  number: fc.oneof(
    fc.integer().map(String),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.integer({ min: 1_000, max: 10_000_000 }).map((n) => n.toLocaleString('en')),
  ),
  id: fc.oneof(
    fc.uuid(),
    fc.uuid().map((id) => id.toUpperCase()),
    hex,
    fc.ulid(),
  ),
  time: fc.oneof(
    date.map((at) => at.toISOString()),
    date.map((at) => at.toISOString().replace('Z', '+02:00')),
    date.map((at) => at.toISOString().slice(0, 10)),
  ),
  utc: date.map((at) => at.toUTCString()),
  double: fc.stringMatching(/^[A-Za-z0-9 _.,:'/-]{0,20}$/).map((text) => `"${text}"`),
  single: fc.stringMatching(/^[A-Za-z0-9 _.,:/-]{0,20}$/).map((text) => `'${text}'`),
  back: fc.stringMatching(/^[A-Za-z0-9 _.,:'/-]{0,20}$/).map((text) => `\`${text}\``),
  path: fc.array(segment, { minLength: 2, maxLength: 5 }).map((parts) => `/${parts.join('/')}`),
  url: fc.tuple(segment, segment).map(([host, path]) => `https://${host}.example/${path}?q=1`),
  list: fc.array(fc.integer({ min: 0 }), { minLength: 1, maxLength: 9 }).map((numbers) => numbers.join(', ')),
} as const;

type Slot = keyof typeof value;
const SLOTS = Object.keys(value) as Slot[];
const words = fc
  .array(fc.constantFrom('order', 'cannot', 'reach', 'the', "can't", 'of', 'Fehler', 'nicht', 'HF_PERMANENT', 'null'), {
    minLength: 1,
    maxLength: 4,
  })
  .map((list) => list.join(' '));
/** Words and slots in turn, and two ways to fill the slots. */
const twins = fc
  .array(fc.tuple(words, fc.constantFrom(...SLOTS)), { minLength: 1, maxLength: 5 })
  .chain((parts) =>
    fc.tuple(fc.constant(parts), ...[0, 1].map(() => fc.tuple(...parts.map(([, slot]) => value[slot])))),
  )
  .map(([parts, ...fillings]) =>
    fillings.map((filling) => `Error: ${parts.map(([text], n) => `${text} ${String(filling[n])}`).join(' then ')} end`),
  );

describe('the fingerprint of an error', () => {
  it('is the same whatever numbers, ids, times, quoted values, paths and addresses it names', async () => {
    const pairs = fc.sample(twins, { numRuns: 1_500, seed: 20_261_129 });
    const found = await fingerprintsOf(pairs.flat());
    const patterns = await patternsOf(pairs.flat());
    const differing = pairs.flatMap(([one, other], n) =>
      found[2 * n] === found[2 * n + 1] ? [] : [{ one, other, as: [patterns[2 * n], patterns[2 * n + 1]] }],
    );
    expect(differing.slice(0, 3)).toEqual([]);
  });

  it('is another one where other words stand, another code, or another reason', async () => {
    const kinds = [
      'Error: order 17 not found',
      'Error: order 17 not paid',
      'TypeError: order 17 not found',
      'error: [42P01] relation "a" does not exist',
      'error: [42P02] relation "a" does not exist',
      'HoldfastError: [HF_STEP_TIMEOUT] no answer in 30 s',
      "Error: can't reach the bank",
      "Error: won't reach the bank",
    ];
    const found = await fingerprintsOf(kinds);
    expect(new Set(found).size).toBe(kinds.length);
    const { rows } = await lab.database.query(
      `SELECT holdfast.error_fingerprint('a', 'e') = holdfast.error_fingerprint('b', 'e') AS same,
         holdfast.error_fingerprint('a', NULL) = holdfast.error_fingerprint('a', '') AS none`,
    );
    expect(rows).toEqual([{ same: false, none: true }]);
  });

  it('stays what it is from version to version: groups that were named stay named', async () => {
    const errors = [
      'Error: too big',
      'Error: order 3f2b8c1e-0000-7000-8000-000000000001 of "anna" not found at /srv/app/dist/orders.js:12:7',
      'error: [23505] duplicate key value violates unique constraint "orders_pkey"; caused by Error: 2026-01-31T08:00:00.123Z',
      'FetchError: request to https://bank.example/pay?id=7 failed, reason: connect ECONNREFUSED 10.0.0.1:443',
      "TypeError: Cannot read properties of undefined (reading 'total')",
    ];
    expect(await patternsOf(errors)).toEqual([
      'Error: too big',
      'Error: order <n> of <text> not found at <path>:<n>',
      'error: [23505] duplicate key value violates unique constraint <text>; caused by Error: <n>',
      'FetchError: request to <address> failed, reason: connect ECONNREFUSED <n>',
      'TypeError: Cannot read properties of undefined (reading <text>)',
    ]);
    expect(await fingerprintsOf(errors)).toMatchInlineSnapshot(`
      [
        "18b0b0ca96ff",
        "ff233302cacb",
        "df97f6dee0cb",
        "9ef2029d1965",
        "a2c8089d1162",
      ]
    `);
  });

  it('comes to an end on any text, and is at most 300 characters', async () => {
    const texts = fc
      .sample(fc.string({ unit: 'grapheme', maxLength: 2_000, size: 'max' }), 100)
      .map((text) => text.replaceAll('\0', ''));
    const hard = ["'".repeat(2_000), '"\\'.repeat(1_000), '1-'.repeat(1_000), '/a'.repeat(1_000), ': [1'.repeat(500)];
    // Characters as PostgreSQL counts them.
    for (const pattern of await patternsOf([...texts, ...hard]))
      expect(Array.from(pattern).length).toBeLessThanOrEqual(300);
  });
});

describe('the id of a group', () => {
  it('says what the group is, whatever the place is called', () => {
    const parts = fc.record({
      kind: fc.constantFrom('relay' as const, 'consumer' as const),
      where: fc.string({ minLength: 1 }),
      topic: fc.stringMatching(/^[a-z]{1,9}(\.[a-z]{1,9}){0,3}$/),
      fingerprint: fc.stringMatching(/^[0-9a-f]{12}$/),
    });
    fc.assert(
      fc.property(parts, (group) => {
        expect(readGroupId(groupIdOf(group))).toEqual(group);
      }),
    );
    expect(() => readGroupId('relay:main:order.placed')).toThrow(/is not the id of a group/);
  });
});

const HOUR_MS = 3_600_000;

async function parkMany(
  count: number,
  { topic = 'order.placed', error, state = 'failed' }: { topic?: string; error: string | null; state?: string },
): Promise<void> {
  await lab.database.query(
    `INSERT INTO holdfast.parked_message (subscription, seq, id, topic, key, lane, state, reason, error, parked_at, next_attempt_at)
     SELECT 'main', (SELECT coalesce(max(seq), 0) FROM holdfast.parked_message) + n, gen_random_uuid(), $2, NULL, 0, $4,
       'the broker refuses it for good', replace($3, '#', n::text), now() - n * interval '1 hour', CASE WHEN n % 2 = 0 THEN now() END
     FROM generate_series(1, $1::int) AS n`,
    [count, topic, error, state],
  );
}

describe('groups of parked messages', () => {
  it('are by place, topic, reason and kind of error, the largest first, with counts over time', async () => {
    await parkMany(30, { error: 'Error: order # is too big' });
    await parkMany(4, { error: 'Error: order # is unknown' });
    await parkMany(3, { error: 'Error: order # is too big', topic: 'order.paid' });
    await parkMany(9, { error: null, state: 'behind' });
    await lab.parkDelivery('shipping', NOBODY, 'k');
    const { groups, messages, total, bucketMs } = await parkedGroups(lab.database);
    expect({ messages, total, bucketMs }).toEqual({ messages: 38, total: 4, bucketMs: HOUR_MS });
    expect(groups.map(({ where, topic, messages: count, error }) => [where, topic, count, error])).toEqual([
      ['main', 'order.placed', 30, 'Error: order <n> is too big'],
      ['main', 'order.placed', 4, 'Error: order <n> is unknown'],
      ['main', 'order.paid', 3, 'Error: order <n> is too big'],
      ['shipping', 'note.taken', 1, 'Error: no'],
    ]);
    const [largest] = groups;
    expect(largest).toMatchObject({ kind: 'relay', reason: 'the broker refuses it for good', dead: 15 });
    // One an hour for thirty hours: the last 24 buckets have those of 1 to 23 hours ago.
    expect(largest?.recent).toEqual([...Array.from({ length: 23 }, () => 1), 0]);
    expect((largest?.lastAt.getTime() ?? 0) - (largest?.firstAt.getTime() ?? 0)).toBe(29 * HOUR_MS);
    expect((await showParked(lab.database, largest?.example ?? ''))[0]).toMatchObject({ topic: 'order.placed' });
  });

  it('are narrowed as lists are, and by their own id', async () => {
    await parkMany(3, { error: 'Error: order # is too big' });
    await parkMany(2, { error: 'Error: order # is unknown', topic: 'invoice.sent' });
    await lab.parkDelivery('shipping', NOBODY, 'k');
    const counts = async (filter: Parameters<typeof parkedGroups>[1]) =>
      (await parkedGroups(lab.database, filter)).groups.map(({ messages }) => messages);
    expect(await counts({ topic: 'order.*' })).toEqual([3]);
    expect(await counts({ consumer: 'shipping' })).toEqual([1]);
    expect(await counts({ subscription: 'main', dead: true })).toEqual([2, 1]);
    expect(await counts({ since: new Date(Date.now() - 1.5 * HOUR_MS) })).toEqual([1, 1, 1]);
    const { groups } = await parkedGroups(lab.database, { limit: 1 });
    expect(groups).toHaveLength(1);
    expect(await counts({ group: groups[0]?.id })).toEqual([3]);
    await expect(parkedGroups(lab.database, { subscription: 'a', consumer: 'b' })).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    await expect(parkedGroups(lab.database, { where: 'main' } as object)).rejects.toMatchObject({
      code: 'HF_OPTION_UNKNOWN',
    });
    await expect(parkedGroups(lab.database, { bucket: 0 })).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });

  it('have those that were parked before there were fingerprints, and follow an error that changes', async () => {
    await parkMany(3, { error: 'Error: order # is too big' });
    const before = (await parkedGroups(lab.database)).groups;
    await lab.database.query('UPDATE holdfast.parked_message SET fingerprint = NULL');
    expect((await parkedGroups(lab.database)).groups).toEqual(before);
    await lab.database.query(`UPDATE holdfast.parked_message SET error = 'Error: gone' WHERE seq = 1`);
    await lab.database.query(`UPDATE holdfast.parked_message SET error = NULL WHERE seq = 2`);
    const after = (await parkedGroups(lab.database)).groups;
    expect(new Set(after.map(({ error }) => error))).toEqual(
      new Set(['Error: gone', 'Error: order <n> is too big', null]),
    );
  });

  it('are none where nothing is parked', async () => {
    expect(await parkedGroups(lab.database)).toMatchObject({ groups: [], messages: 0, total: 0 });
  });
});

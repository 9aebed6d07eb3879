/** What is parked, searched: the pages of listParked, in bounded time whatever is parked, each page saying how far it looked. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parkedGroups } from '../../src/operations/parked/parked-groups.ts';
import { listParked, type ParkedFilter, type ParkedSummary } from '../../src/operations/parked/parked.ts';
import { searchParked, type ParkedPage, type ParkedSearch } from '../../src/operations/parked/search-parked.ts';
import { jobLab } from './job-lab.ts';
import { useLab } from './lab.ts';

const lab = useLab();
const { parkMessages, parkDeliveries } = jobLab(lab);
const nameOf = ({ kind, where, id }: ParkedSummary) => `${kind}/${where}/${id}`;

async function pages(search: ParkedSearch): Promise<readonly ParkedPage[]> {
  const all: ParkedPage[] = [];
  let cursor: string | null | undefined;
  while (cursor !== null) {
    // Page by page.
    // oxlint-disable-next-line no-await-in-loop
    const page: ParkedPage = await searchParked(lab.database, { ...search, cursor });
    all.push(page);
    cursor = page.next;
  }
  return all;
}
const found = async (search: ParkedSearch) => (await pages(search)).flatMap(({ parked }) => parked.map(nameOf));

describe.each([1, 3, 50])('pages of %i', (limit) => {
  it.each<[string, ParkedFilter]>([
    ['everything', {}],
    ['one place', { where: 'main' }],
    ['consumers', { kind: 'consumer' }],
    ['a topic', { topic: 'note.*' }],
    ['a state', { state: 'behind' }],
    ['a key', { key: 'k' }],
    ['a key of one place', { key: 'k', where: 'billing' }],
    ['a key and a state', { key: 'k', state: 'behind' }],
    ['what nothing has', { topic: 'nothing' }],
  ])('have, of %s, what the list has, each once', async (_, filter) => {
    await parkMessages(7);
    await parkMessages(2, { topic: 'other.topic' });
    await parkDeliveries(3);
    await parkDeliveries(2, 'main');
    // By their collation, names may come otherwise than by their letters' numbers.
    for (const consumer of ['billing', 'Zoo', 'äther']) {
      for (let n = 0; n < 3; n += 1) await lab.parkDelivery(consumer, randomUUID(), 'k');
    }
    await lab.database.query(
      `UPDATE holdfast.parked_delivery SET state = 'behind', error = NULL WHERE key = 'k' AND position % 2 = 0`,
    );
    await lab.database.query(`UPDATE holdfast.parked_message SET key = 'k' WHERE seq IN (2, 3)`);
    const whole = (await listParked(lab.database, { ...filter, limit: 1000 })).map(nameOf);
    const searched = await found({ ...filter, limit });
    expect(new Set(searched).size).toBe(searched.length);
    expect(searched.toSorted()).toEqual(whole.toSorted());
    // Of a key the places may come in another order, and in each is the line of the key.
    if (filter.key === undefined) expect(searched).toEqual(whole);
    else for (const place of ['billing', 'Zoo']) expect(of(searched, place)).toEqual(of(whole, place));
  });
});
const of = (names: readonly string[], place: string) => names.filter((name) => name.includes(`/${place}/`));

it('says how far it looked where very much is parked, and goes on from there to what is rare', async () => {
  await lab.database.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason, error)
     SELECT CASE WHEN n % 2 = 0 THEN 'billing' ELSE 'shipping' END, gen_random_uuid(), 'note.taken', '{}', 'failed', 'gave up', 'Error: no'
     FROM generate_series(1, 6000) AS n`,
  );
  await lab.database.query('ANALYZE holdfast.parked_delivery');
  await lab.database.query(
    `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason)
     VALUES ('shipping', 'ffffffff-ffff-7fff-bfff-ffffffffffff', 'rare.topic', '{}', 'failed', 'gave up')`,
  );
  const all = await pages({ topic: 'rare.*', lookFor: 0 });
  expect(all.length).toBeGreaterThan(2);
  expect(all.slice(0, -1).every(({ parked, looked }) => parked.length === 0 && !looked.complete)).toBe(true);
  expect(all.reduce((sum, { looked }) => sum + looked.rows, 0)).toBe(6_001);
  expect(all.at(-1)).toMatchObject({ looked: { complete: true }, next: null });
  expect(all.flatMap(({ parked }) => parked)).toMatchObject([{ topic: 'rare.topic', where: 'shipping' }]);
});

it('finds a group, and what was parked before there were fingerprints', async () => {
  await parkMessages(5, { error: 'Error: order 1 is too big' });
  await parkMessages(3, { error: 'Error: order 1 is unknown' });
  await lab.database.query('UPDATE holdfast.parked_message SET fingerprint = NULL');
  const { groups } = await parkedGroups(lab.database);
  for (const { id, messages } of groups) expect(await found({ group: id, limit: 2 })).toHaveLength(messages);
});

it('refuses what it cannot use, and a cursor of another list', async () => {
  await parkDeliveries(3);
  for (let n = 0; n < 3; n += 1) await lab.parkDelivery('billing', randomUUID(), 'k');
  const { next: ofKey } = await searchParked(lab.database, { key: 'k', limit: 1 });
  const { next: ofAll } = await searchParked(lab.database, { limit: 1 });
  const wrong: readonly object[] = [
    { cursor: ofKey },
    { cursor: ofAll, key: 'k' },
    { cursor: 'x' },
    { limit: 0 },
    { topic: 'a b' },
    { group: 'nonsense' },
    { id: randomUUID() },
    { lookFor: '11s' },
  ];
  for (const search of wrong) {
    await expect(searchParked(lab.database, search)).rejects.toMatchObject({
      code: expect.stringMatching(/^HF_(CONFIG|OPTION_UNKNOWN)$/) as string,
    });
  }
});

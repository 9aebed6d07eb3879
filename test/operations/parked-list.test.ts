/** The list of what is parked, page by page: each message once, whatever comes and goes meanwhile, and along the indexes. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parkedGroups } from '../../src/operations/parked/parked-groups.ts';
import { listParked, type ParkedFilter, type ParkedSummary } from '../../src/operations/parked/parked.ts';
import { planned } from './plans.ts';
import { jobLab } from './job-lab.ts';
import { useLab } from './lab.ts';

const lab = useLab();
const { parkMessages, parkDeliveries } = jobLab(lab);

async function pages(filter: ParkedFilter, limit: number, between: (page: number) => Promise<void> = async () => {}) {
  const all: ParkedSummary[] = [];
  let after: ParkedSummary | undefined;
  for (let page = 1; ; page += 1) {
    // Page by page.
    // oxlint-disable-next-line no-await-in-loop
    const found = await listParked(lab.database, { ...filter, after, limit });
    all.push(...found);
    if (found.length < limit) return all;
    after = found.at(-1);
    // oxlint-disable-next-line no-await-in-loop
    await between(page);
  }
}
const nameOf = ({ kind, where, id }: ParkedSummary) => `${kind}/${where}/${id}`;

describe('pages of parked messages', () => {
  it.each([1, 3, 7, 50])('of %i have each message of both tables once, place by place', async (limit) => {
    await parkMessages(9);
    await parkDeliveries(5);
    await parkDeliveries(4, 'billing');
    // The name of a subscription and of a consumer.
    await parkDeliveries(2, 'main');
    const whole = await listParked(lab.database, { limit: 1000 });
    const paged = await pages({}, limit);
    expect(paged.map(nameOf)).toEqual(whole.map(nameOf));
    expect(new Set(paged.map(nameOf)).size).toBe(20);
    const places = paged.map(({ kind, where }) => `${kind} ${where}`);
    expect([...new Set(places)]).toEqual([
      'relay main',
      'relay other',
      'consumer billing',
      'consumer main',
      'consumer shipping',
    ]);
    expect(places.filter((place) => place === 'consumer main')).toHaveLength(2);
    expect((await pages({ where: 'main' }, limit)).map(({ kind }) => kind)).toEqual([
      ...Array.from({ length: 4 }, () => 'relay'),
      ...Array.from({ length: 2 }, () => 'consumer'),
    ]);
    expect(await pages({ kind: 'consumer' }, limit)).toHaveLength(11);
  });

  it('go on where they were, when what was shown has gone and what is new has come before it', async () => {
    await parkMessages(6);
    const ids = await parkDeliveries(6);
    const seen = await pages({}, 4, async () => {
      await lab.database.query('DELETE FROM holdfast.parked_message WHERE seq <= 2');
      await lab.database.query('DELETE FROM holdfast.parked_delivery WHERE message_id = $1', [ids.toSorted()[0]]);
      await lab.parkDelivery('aardvark', randomUUID());
    });
    const shipping = seen.filter(({ where }) => where === 'shipping');
    expect(shipping.map(({ id }) => id)).toEqual(ids.toSorted().slice(-shipping.length));
    expect(shipping.length).toBeGreaterThanOrEqual(5);
    expect(new Set(seen.map(nameOf)).size).toBe(seen.length);
  });

  it('of one key are in the order of its line, whatever the ids are', async () => {
    const ids = Array.from({ length: 9 }, () => randomUUID());
    for (const id of ids) await lab.parkDelivery('shipping', id, 'k');
    await parkDeliveries(3);
    const paged = await pages({ key: 'k' }, 2);
    expect(paged.map(({ id }) => id)).toEqual(ids);
    expect(paged.map(({ position }) => position)).toEqual(
      paged.map(({ position }) => position).toSorted((a, b) => a - b),
    );
  });

  it('of a group have what it counts', async () => {
    await parkMessages(10, { error: 'Error: order 1 is too big' });
    await parkMessages(4, { error: 'Error: order 1 is unknown' });
    const { groups } = await parkedGroups(lab.database);
    for (const { id, messages, where } of groups) {
      const found = await pages({ group: id }, 2);
      expect(found).toHaveLength(messages);
      expect(new Set(found.map((each) => each.where))).toEqual(new Set([where]));
    }
    await expect(listParked(lab.database, { group: 'nonsense' })).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(
      listParked(lab.database, { after: { kind: 'relay', where: 'main', id: 'x', position: 1 } }),
    ).rejects.toMatchObject({ code: 'HF_CONFIG' });
  });

  it('are read along the primary keys: of many, only the rows of the page', async () => {
    await parkMessages(3_000);
    await lab.database.query(
      `INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason)
       SELECT 'shipping', gen_random_uuid(), 'note.taken', '{}', 'failed', 'gave up' FROM generate_series(1, 3000)`,
    );
    await lab.database.query('ANALYZE holdfast.parked_message; ANALYZE holdfast.parked_delivery');
    const read = async (filter: ParkedFilter) => {
      const { database: spied, plans: seen } = planned(lab.database, 'EXPLAIN (ANALYZE, TIMING OFF)');
      await listParked(spied, { ...filter, limit: 20 });
      return seen;
    };
    const place = { id: '80000000-0000-7000-8000-000000000000', position: 1_500 };
    const plans = [
      ...(await read({})),
      ...(await read({ after: { kind: 'relay', where: 'main', ...place } })),
      ...(await read({ kind: 'consumer' })),
      ...(await read({ after: { kind: 'consumer', where: 'shipping', ...place } })),
    ];
    expect(plans).toHaveLength(4);
    for (const plan of plans) {
      expect(plan).toMatch(/Index Scan using parked_(message|delivery)_pkey/);
      expect(plan).not.toMatch(/Sort|Seq Scan/);
      expect(Number(/Index Scan[^\n]*actual rows=(\d+)/.exec(plan)?.[1])).toBeLessThanOrEqual(21);
    }
  });
});

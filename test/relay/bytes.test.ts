/**
 * What is taken into memory at once is bounded by the bytes that it has there. What is stored says little of them: a mebibyte of one
 * letter is stored in twelve kilobytes, and a number of three hundred digits in ten bytes.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cursor } from '../../src/relay/log/cursor.ts';
import { createLogReader, LOG_READER_SETTINGS, PAGE_BYTES, type LogReader } from '../../src/relay/log/log-reader.ts';
import { createScheduler } from '../../src/relay/maintenance/scheduler.ts';
import { endChildren, startChild } from '../support/faults/child.ts';
import { published } from '../support/recording-transport.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

const MIB = 1_048_576;
const EVERYTHING = { topics: undefined, shard: 0, shards: 1 };
const START: Cursor = { snapshot: '1:1:', high: 0, catchup: null, floor: 0 };
let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterEach(() => endChildren());
afterAll(() => lab.close());

const writeLarge = (count: number, payload = `jsonb_build_object('pad', repeat('x', ${MIB}))`) =>
  lab.database.query(
    `SELECT holdfast.send('large', p.payload, 'k') FROM (SELECT ${payload} AS payload OFFSET 0) AS p, generate_series(1, $1)`,
    [count],
  );

async function withReader<T>(work: (reader: LogReader) => Promise<T>): Promise<T> {
  const client = await lab.database.dedicatedConnection({ onLost: () => {} });
  try {
    await client.query(LOG_READER_SETTINGS);
    return await work(createLogReader(client, 'holdfast', EVERYTHING));
  } finally {
    await client.end();
  }
}

const bytesOf = (entries: readonly { readonly payload: string | null; readonly headers: string }[]) =>
  entries.reduce((sum, { payload, headers }) => sum + Buffer.byteLength((payload ?? '') + headers), 0);

describe('one page of the log', () => {
  it.each([
    ['mebibytes of one letter', undefined, 1.1 * MIB],
    [
      'numbers of three hundred digits',
      `jsonb_build_object('n', (SELECT jsonb_agg(1e300::numeric) FROM generate_series(1, 3000)))`,
      MIB,
    ],
  ])('has few messages when they are large: %s', async (_, payload, largest) => {
    await writeLarge(30, payload);
    await withReader(async (reader) => {
      let read = 0;
      let cursor = START;
      for (let more = true; more;) {
        const page = await reader.read(cursor, 1000);
        expect(bytesOf(page.entries)).toBeLessThan(PAGE_BYTES + largest);
        read += page.entries.length;
        cursor = page.next;
        more = page.more;
      }
      expect(read).toBe(30);
    });
  });

  it('of late committers, of parked messages and of a replay is bounded alike', async () => {
    const late = await lab.database.pool.connect();
    await late.query('BEGIN');
    await late.query(
      `SELECT holdfast.send('large', jsonb_build_object('pad', repeat('x', ${MIB}))) FROM generate_series(1, 20)`,
    );
    await lab.write({ n: 1 });
    await withReader(async (reader) => {
      const first = await reader.read(START, 1000);
      await late.query('COMMIT');
      late.release();
      const low = await reader.read(first.next, 1000);
      expect(low.entries).toHaveLength(8);
      expect(low.more).toBe(true);
      const seqs = Array.from({ length: 21 }, (_, index) => index + 1);
      expect(await reader.pick(seqs)).toHaveLength(8);
      const range = { fromSeq: 1, toSeq: 21, topic: null, key: null, limit: 200 };
      expect((await reader.range(range)).entries).toHaveLength(8);
    });
  });

  it('is bounded for rows whose bytes were not noted', async () => {
    await writeLarge(20);
    await lab.database.query('UPDATE holdfast.outbox SET bytes = NULL');
    await withReader(async (reader) => {
      const page = await reader.read(START, 1000);
      expect(bytesOf(page.entries)).toBeLessThan(PAGE_BYTES + 1.1 * MIB);
      expect(page.entries.length).toBeGreaterThan(0);
    });
  });
});

it('a message that no process should take into memory is parked unread, and its neighbours go out', async () => {
  const { relay, transport } = await lab.relay();
  await writeLarge(1, `jsonb_build_object('pad', repeat('x', ${65 * MIB}))`);
  await lab.write({ n: 2, who: 'b' });
  await relay.tick();
  await relay.tick();
  expect(lab.numbers(transport)).toEqual([2]);
  const parked = await lab.database.query('SELECT state, error, next_attempt_at FROM holdfast.parked_message');
  expect(parked.rows).toEqual([
    { state: 'failed', error: expect.stringMatching(/too many for a relay/) as unknown, next_attempt_at: null },
  ]);
});

it('a batch to the broker is bounded by bytes, however many destinations a message has', async () => {
  const routes = Array.from({ length: 10 }, (_, index) => ({ topics: '**', to: `queue-${index}` }));
  const { relay, transport } = await lab.relay({ routes });
  const batches: number[] = [];
  transport.respond = async (batch) => {
    batches.push(batch.reduce((sum, { wire }) => sum + wire.length, 0));
    return batch.map(() => published);
  };
  await writeLarge(4);
  await relay.tick();
  expect(transport.sent).toHaveLength(40);
  expect(Math.max(...batches)).toBeLessThan(9 * MIB);
  // In order for each destination.
  const { rows } = await lab.database.query<{ id: string }>('SELECT id::text AS id FROM holdfast.outbox ORDER BY seq');
  const order = transport.sent.filter(({ destination }) => destination === 'queue-3').map(({ id }) => ({ id }));
  expect(order).toEqual(rows);
});

it('a relay with a small heap brings out hundreds of mebibytes', async () => {
  await writeLarge(150);
  const ledger = join(mkdtempSync(join(tmpdir(), 'holdfast-')), 'ledger');
  const { url } = lab;
  const subscription = { name: 'main', routes: [{ topics: '**', to: 'all' }] };
  const child = startChild('relay-child.ts', { url, ledger, owner: 'small', crash: null, subscription }, [
    '--max-old-space-size=96',
  ]);
  await child.told('started');
  await lab.until(async () => {
    if (child.gone) throw new Error(`the relay died\n${child.log}`);
    const { rows } = await lab.database.query<{ published: number }>(
      'SELECT published::int FROM holdfast.subscription',
    );
    return rows[0]?.published === 150;
  });
  child.finish();
  expect(await child.exit).toMatchObject({ code: 0 });
}, 180_000);

describe('scheduled messages that are due', () => {
  const schedule = (count: number, payload: string) =>
    lab.database.query(
      `INSERT INTO holdfast.scheduled_message (id, due_at, topic, payload, headers, bytes)
       SELECT gen_random_uuid(), now() - (100 - g) * interval '1 second', 'note', p.payload, '{}', octet_length(p.payload::text)
       FROM (SELECT ${payload} AS payload OFFSET 0) AS p, generate_series(1, $1) AS g`,
      [count],
    );
  const left = async () =>
    (await lab.database.query<{ count: number }>('SELECT count(*)::int AS count FROM holdfast.scheduled_message'))
      .rows[0]?.count;

  it('are moved in batches of few when they are large, in order', async () => {
    await schedule(20, `jsonb_build_object('pad', repeat('x', ${MIB}))`);
    const { rows: due } = await lab.database.query(
      'SELECT id::text AS id FROM holdfast.scheduled_message ORDER BY due_at',
    );
    const scheduler = createScheduler(lab.database);
    expect(await scheduler.moveDue()).toMatchObject({ moved: 8, more: true });
    expect(await scheduler.moveDue()).toMatchObject({ moved: 8, more: true });
    expect(await scheduler.moveDue()).toMatchObject({ moved: 4, more: false });
    const { rows: moved } = await lab.database.query('SELECT id::text AS id FROM holdfast.outbox ORDER BY seq');
    expect(moved).toEqual(due);
  });

  it('go out although one that is due before them is refused by the log', async () => {
    await schedule(3, `'{}'::jsonb`);
    await lab.database.query(
      `ALTER TABLE holdfast.outbox ADD CONSTRAINT no_such CHECK (topic <> 'forbidden');
       UPDATE holdfast.scheduled_message SET topic = 'forbidden' WHERE due_at = (SELECT min(due_at) FROM holdfast.scheduled_message)`,
    );
    try {
      const scheduler = createScheduler(lab.database);
      expect(await scheduler.moveDue()).toMatchObject({ moved: 0, more: true, refused: { error: { code: '23514' } } });
      expect(await scheduler.moveDue()).toMatchObject({ moved: 2, more: false, refused: null });
      expect(await left()).toBe(1);
    } finally {
      await lab.database.query('ALTER TABLE holdfast.outbox DROP CONSTRAINT no_such');
    }
    expect(await createScheduler(lab.database).moveDue()).toMatchObject({ moved: 1 });
  });
});

/** Searches of messages and runs on a real server: what they find, by which index, and how they go on. */
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { searchMessages, type MessageSearch } from '../../src/operations/reads/search-messages.ts';
import { searchRuns, type RunSearch } from '../../src/operations/sagas/search-runs.ts';
import { Note, useLab } from './lab.ts';
import { emptySagas, seedRun, STUCK_UNDOING } from './saga-lab.ts';

const lab = useLab();

const notes = async (search: MessageSearch) =>
  (await searchMessages(lab.database, search)).messages.map(({ seq }) => seq);

/** So many rows of others behind what is looked for, or before it. */
const fill = (count: number) =>
  lab.database.query(
    `INSERT INTO holdfast.outbox (xid, id, topic, key, lane, payload, headers)
     SELECT pg_current_xact_id(), holdfast.uuid_v7(), 'other.thing', 'k-' || n, 1, jsonb_build_object('n', n), '{"schemaversion":1}'
     FROM generate_series(1, $1::int) n`,
    [count],
  );

describe('searchMessages', () => {
  it('finds by each thing that a message has', async () => {
    const [first, second] = await lab.write({ n: 1 }, { n: 2, who: 'you' });
    const { id: third } = await lab.database.transaction((tx) =>
      lab.outbox.send(
        tx,
        Note,
        { n: 3 },
        { correlationId: 'c-1', causationId: first!, headers: { tenant: 'a', plan: 'b' } },
      ),
    );
    expect(await notes({})).toEqual([3, 2, 1]);
    expect(await notes({ topic: 'note.taken' })).toEqual([3, 2, 1]);
    expect(await notes({ topic: 'note.*' })).toEqual([3, 2, 1]);
    expect(await notes({ topic: 'order.**' })).toEqual([]);
    expect(await notes({ key: 'you' })).toEqual([2]);
    expect(await notes({ id: second!.slice(0, 18) + second!.slice(18, 30) })).toContain(2);
    expect(await notes({ id: third })).toEqual([3]);
    expect(await notes({ correlationId: 'c-1' })).toEqual([3]);
    expect(await notes({ causationId: first! })).toEqual([3]);
    expect(await notes({ headers: { tenant: 'a' } })).toEqual([3]);
    expect(await notes({ headers: { tenant: 'b' } })).toEqual([]);
    expect(await notes({ payload: { n: 2 } })).toEqual([2]);
    expect(await notes({ payload: { who: 'you' } })).toEqual([2]);
    expect(await notes({ since: new Date(Date.now() - 60_000), until: new Date(Date.now() + 60_000) })).toEqual([
      3, 2, 1,
    ]);
    expect(await notes({ until: new Date(Date.now() - 60_000) })).toEqual([]);
    expect(await notes({ topic: 'note.*', key: 'me', payload: { n: 1 } })).toEqual([1]);
  });

  it('shows what a list needs, and whose commands are', async () => {
    const runId = randomUUID();
    const headers = { 'holdfast-saga': runId, 'holdfast-call': 'charge!2', 'holdfast-role': 'compensation' };
    await lab.database.transaction((tx) => lab.outbox.send(tx, Note, { n: 1 }, { headers, correlationId: runId }));
    const { messages } = await searchMessages(lab.database);
    expect(messages).toMatchObject([
      {
        seq: 1,
        topic: 'note.taken',
        key: 'me',
        correlationId: runId,
        command: { run: runId, call: 'charge', role: 'compensation' },
      },
    ]);
    expect(messages[0]?.payloadBytes).toBe('{"n": 1}'.length);
    expect(messages[0]?.ageMs).toBeGreaterThanOrEqual(0);
  });

  it('pages both ways while messages come', async () => {
    await lab.write(...Array.from({ length: 7 }, (_, n) => ({ n })));
    const first = await searchMessages(lab.database, { limit: 3 });
    expect(first.messages.map(({ seq }) => seq)).toEqual([7, 6, 5]);
    await lab.write({ n: 8 });
    const second = await searchMessages(lab.database, { limit: 3, cursor: first.older! });
    expect(second.messages.map(({ seq }) => seq)).toEqual([4, 3, 2]);
    const third = await searchMessages(lab.database, { limit: 3, cursor: second.older! });
    expect(third).toMatchObject({ messages: [{ seq: 1 }], older: null, looked: { complete: true } });
    const back = await searchMessages(lab.database, { limit: 3, cursor: third.newer! });
    expect(back.messages.map(({ seq }) => seq)).toEqual([4, 3, 2]);
    const newest = await searchMessages(lab.database, { limit: 3, cursor: first.newer! });
    expect(newest).toMatchObject({ messages: [{ seq: 8 }] });
    expect((await searchMessages(lab.database, { cursor: newest.newer! })).messages).toEqual([]);
    await lab.write({ n: 9 });
    expect(await notes({ cursor: newest.newer! })).toEqual([9]);
  });

  it('says how far it looked when its time is up, and goes on from there', async () => {
    const [id] = await lab.write({ n: 1 });
    await fill(5_000);
    let page = await searchMessages(lab.database, { topic: 'note.taken', lookFor: 0 });
    expect(page).toMatchObject({ messages: [], looked: { rows: 1_000, complete: false } });
    expect(page.looked.reached).toBeInstanceOf(Date);
    let pages = 1;
    while (page.older !== null && page.messages.length === 0) {
      page = await searchMessages(lab.database, { topic: 'note.taken', lookFor: 0, cursor: page.older });
      pages += 1;
    }
    expect(page.messages.map((each) => each.id)).toEqual([id]);
    expect(pages).toBe(6);
    expect(page).toMatchObject({ older: null, looked: { complete: true } });
    // With time, one page is enough.
    expect(await searchMessages(lab.database, { topic: 'note.taken', lookFor: '5s' })).toMatchObject({
      messages: [{ id }],
      older: null,
      looked: { rows: 5_001, complete: true },
    });
  });

  it('takes fewer at a time when the server cannot read so many in time', async () => {
    await lab.write({ n: 1 });
    await fill(300);
    // A row of these takes the server 50 ms to look at.
    await lab.database.query(
      `CREATE FUNCTION holdfast.slow(jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN $1; END $$`,
    );
    await lab.database.query(`ALTER TABLE holdfast.outbox RENAME TO outbox_itself`);
    try {
      await lab.database.query(
        `CREATE VIEW holdfast.outbox AS SELECT xid, seq, id, topic, key, lane, payload, holdfast.slow(headers) AS headers, created_at, bytes
         FROM holdfast.outbox_itself`,
      );
      const page = await searchMessages(lab.database, { correlationId: 'nobody', lookFor: '100ms' });
      expect(page).toMatchObject({ messages: [], looked: { rows: 10, complete: false } });
      expect(page.older).not.toBe(null);
    } finally {
      await lab.database.query(`DROP VIEW holdfast.outbox; ALTER TABLE holdfast.outbox_itself RENAME TO outbox`);
      await lab.database.query('DROP FUNCTION holdfast.slow(jsonb)');
    }
  });

  it('leaves nothing behind on a connection', async () => {
    await searchMessages(lab.database);
    const { rows } = await lab.database.query<{ timeout: string; scans: string }>(
      `SELECT current_setting('statement_timeout') AS timeout, current_setting('enable_seqscan') AS scans`,
    );
    expect(rows).toEqual([{ timeout: '0', scans: 'on' }]);
  });

  it('refuses what it cannot use', async () => {
    const refused = (search: object) => searchMessages(lab.database, search);
    await expect(refused({ limit: 0 })).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(refused({ topics: 'x' })).rejects.toThrow(/Did you mean "topic"/);
    await expect(refused({ id: 'o-1' })).rejects.toThrow(/not how an id begins/);
    await expect(refused({ cursor: 'x' })).rejects.toThrow(/no cursor/);
    await expect(refused({ lookFor: '1h' })).rejects.toThrow(/at most 10 s/);
    await expect(refused({ payload: { text: '\u0000' } })).rejects.toThrow(/no JSON value/);
    await expect(refused({ payload: () => 1 })).rejects.toThrow(/no JSON value/);
  });
});

describe('searchRuns', () => {
  beforeEach(() => emptySagas(lab.database));
  const found = async (search: RunSearch) => (await searchRuns(lab.database, search)).runs.map(({ id }) => id);

  it('finds by each thing that a run has', async () => {
    const one = await seedRun(lab.database, {
      key: 'o-1',
      journal: [[{ t: 'started', input: { order: { id: 'o-1', lines: [1, 2] } } }]],
    });
    const two = await seedRun(lab.database, {
      ...STUCK_UNDOING,
      saga: 'book-trip',
      version: 2,
      key: 'o-1',
      startedAgo: 7_200,
    });
    const three = await seedRun(lab.database, { status: 'completed', startedAgo: 86_400 });
    const four = await seedRun(lab.database, { journal: [[{ t: 'started', input: { text: '\u0000' } }]] });
    const parent = '0197a3c2-5b1e-7cc3-98c4-dc0c0c07398f';
    const child = await seedRun(lab.database, {
      id: '0197a3c2-5b1e-8cc3-98c4-dc0c0c070001',
      parent: { id: parent, call: 'c' },
      saga: 'child',
    });
    const all = [one, two, three, four, child];
    expect((await found({})).toSorted()).toEqual(all.toSorted());
    expect(await found({ saga: 'book-trip' })).toEqual([two]);
    expect(await found({ version: 2 })).toEqual([two]);
    expect(await found({ status: ['stuck'] })).toEqual([two]);
    expect(await found({ stuck: true })).toEqual([two]);
    expect(await found({ status: ['completed', 'stuck'], saga: 'place-order' })).toEqual([three]);
    expect((await found({ key: 'o-1' })).toSorted()).toEqual([one, two].toSorted());
    expect(await found({ key: 'o-1', saga: 'book-trip' })).toEqual([two]);
    expect(await found({ key: 'o-2' })).toEqual([]);
    expect(await found({ id: two.slice(0, 20) })).toEqual([two]);
    expect(await found({ parent })).toEqual([child]);
    expect(await found({ error: 'HF_PERMANENT' })).toEqual([two]);
    expect(await found({ error: 'such payment' })).toEqual([two]);
    expect(await found({ input: { order: { lines: [2] } } })).toEqual([one]);
    expect(await found({ input: { text: 'x' } })).toEqual([]);
    const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000);
    expect(await found({ startedUntil: ago(3_600), startedSince: ago(10_000) })).toEqual([two]);
    expect(await found({ finishedSince: ago(60) })).toEqual([three]);
    expect(await found({ finishedUntil: ago(60) })).toEqual([]);
    expect((await found({ updatedSince: ago(60) })).length).toBe(5);
    expect(await found({ updatedUntil: ago(60) })).toEqual([]);
  });

  it('begins at a time of start where ids tell it, and misses nobody whose id does not', async () => {
    const at = (daysAgo: number) => new Date(Date.now() - daysAgo * 86_400_000);
    const idAt = (time: Date) => {
      const digits = time.getTime().toString(16).padStart(12, '0');
      return `${digits.slice(0, 8)}-${digits.slice(8)}-7${randomUUID().slice(15)}`;
    };
    const old = await seedRun(lab.database, { id: idAt(at(3)), startedAgo: 3 * 86_400 });
    await seedRun(lab.database, { id: idAt(at(0)), startedAgo: 0 });
    // A child of an old run, started later.
    const child = await seedRun(lab.database, { id: idAt(at(9)), startedAgo: 4 * 86_400 });
    const search = { startedUntil: at(2) };
    const page = await searchRuns(lab.database, search);
    expect(page).toMatchObject({ looked: { rows: 2, complete: true }, older: null });
    expect(page.runs.map(({ id }) => id)).toEqual([old, child]);
    const random = await seedRun(lab.database, { id: 'ffffffff-ffff-4fff-8fff-ffffffffffff', startedAgo: 5 * 86_400 });
    expect(await found(search)).toEqual([random, old, child]);
    expect(await found({ ...search, limit: 1 })).toEqual([random]);
  });

  it('pages in the order of ids, and of ends, both ways', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 7; n += 1) ids.push(await seedRun(lab.database, { status: 'completed' }));
    // Three that ended in one moment.
    await lab.database.query(
      `UPDATE holdfast.saga_run SET finished_at = '2026-01-01T00:00:00.123456Z' WHERE id = ANY ($1::uuid[])`,
      [ids.slice(0, 3)],
    );
    const orders: [RunSearch, string][] = [
      [{}, 'id DESC'],
      [{ finishedSince: new Date('2025-01-01') }, 'finished_at DESC, id DESC'],
    ];
    for (const [search, sql] of orders) {
      const { rows } = await lab.database.query<{ id: string }>(`SELECT id FROM holdfast.saga_run ORDER BY ${sql}`);
      const wanted = rows.map(({ id }) => id);
      const down: string[] = [];
      let page = await searchRuns(lab.database, { ...search, limit: 2 });
      down.push(...page.runs.map(({ id }) => id));
      while (page.older !== null) {
        page = await searchRuns(lab.database, { ...search, limit: 2, cursor: page.older });
        down.push(...page.runs.map(({ id }) => id));
      }
      expect(down).toEqual(wanted);
      const up = page.runs.map(({ id }) => id);
      for (let cursor = page.newer; cursor !== null; cursor = page.runs.length === 0 ? null : page.newer) {
        page = await searchRuns(lab.database, { ...search, limit: 2, cursor });
        up.unshift(...page.runs.map(({ id }) => id));
      }
      expect(up).toEqual(wanted);
    }
    const { older } = await searchRuns(lab.database, { limit: 2 });
    await expect(searchRuns(lab.database, { finishedSince: new Date(0), cursor: older! })).rejects.toThrow(
      /of a list by id/,
    );
  });

  it('refuses what it cannot use', async () => {
    const refused = (search: object) => searchRuns(lab.database, search);
    await expect(refused({ status: ['lost'] })).rejects.toThrow(/no status "lost"/);
    await expect(refused({ parent: 'x' })).rejects.toThrow(/not the id of a run/);
    await expect(refused({ sagas: 'x' })).rejects.toThrow(/Did you mean "saga"/);
  });
});

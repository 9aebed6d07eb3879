/** Replays, retention, ordered destinations: the relay's work beside the live log. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { relayStatus } from '../../src/operations/relay/relay-status.ts';
import { insertReplay } from '../../src/relay/delivery/replay-store.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { published, type RecordingTransport } from '../support/recording-transport.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const wires = (transport: RecordingTransport) =>
  transport.sent.map(
    (message) =>
      JSON.parse(message.wire) as { id: string; predecessorid?: string; replayid?: string; data: { n: number } },
  );

describe('replay', () => {
  it('publishes a part of the log again under its id, page by page, once', async () => {
    const first = await lab.relay({ batchSize: 3 });
    await lab.write(...Array.from({ length: 8 }, (_, n) => ({ n: n + 1, who: n % 2 === 0 ? 'even' : 'odd' })));
    for (let round = 0; round < 4; round += 1) await first.relay.tick();
    await first.relay.stop();
    const id = randomUUID();
    await lab.database.transaction((client) =>
      insertReplay(client, 'holdfast', {
        id,
        subscription: 'main',
        fromSeq: 2,
        toSeq: 8,
        topic: 'note.*',
        key: 'even',
      }),
    );
    const second = await lab.relay({ batchSize: 3 });
    for (let round = 0; round < 4; round += 1) await second.relay.tick();
    expect(lab.numbers(second.transport)).toEqual([3, 5, 7]);
    expect(second.transport.sent.every((message) => message.replayId === id)).toBe(true);
    expect(wires(second.transport)[0]).toMatchObject({ replayid: id });
    const row = await lab.database.query('SELECT published, finished_at IS NOT NULL AS finished FROM holdfast.replay');
    expect(row.rows).toEqual([{ published: '3', finished: true }]);
  });
});

describe('a replay whose message kills the relay', () => {
  it('goes on without it after some deaths, however busy the live log is', async () => {
    const first = await lab.relay();
    await lab.write({ n: 1 }, { n: 2 }, { n: 3 });
    await first.relay.tick();
    await first.relay.stop();
    const replay = { id: randomUUID(), subscription: 'main', fromSeq: 1, toSeq: 3, topic: null, key: null };
    await lab.database.transaction((client) => insertReplay(client, 'holdfast', replay));
    const replayed: number[] = [];
    const told: (number | undefined)[] = [];
    for (let life = 1; life <= 8; life += 1) {
      const { relay, transport } = await lab.relay({}, { owner: `life ${life}` });
      transport.respond = async (batch) => {
        const again = wires({ ...transport, sent: [...batch] }).filter((wire) => wire.replayid !== undefined);
        // As far as the tables can tell, this is a death: the call never comes back.
        if (again.some((wire) => wire.data.n === 2)) throw new Error('dies');
        replayed.push(...again.map((wire) => wire.data.n));
        return batch.map(() => published);
      };
      await lab.write({ n: 10 + life });
      await relay.start();
      await lab.until(async () => relay.states[0]?.trouble !== null || (await finished()));
      await relay.stop();
      told.push((await relayStatus(lab.database)).replays[0]?.begunTimes);
      if (await finished()) break;
    }
    expect(replayed).toEqual([1, 3]);
    // Twice at the first page; then one at a time, and what killed it is behind it.
    expect(told.slice(0, 2)).toEqual([1, 2]);
    expect(Math.max(...told.map((times) => times ?? 0))).toBeLessThan(4);
    expect(await finished()).toBe(true);
  });

  const finished = async () =>
    (await lab.database.query('SELECT 1 FROM holdfast.replay WHERE finished_at IS NOT NULL')).rowCount === 1;
});

describe('retention', () => {
  const age = (n: string) =>
    lab.database.query(
      `UPDATE holdfast.outbox SET created_at = now() - interval '8 days' WHERE (payload->>'n')::int IN (${n})`,
    );
  const left = async () =>
    (await lab.database.query(`SELECT (payload->>'n')::int AS n FROM holdfast.outbox ORDER BY seq`)).rows.map(
      (row) => row['n'] as number,
    );
  const stored = () =>
    lab.until(
      async () =>
        (
          await lab.database.query(
            'SELECT 1 FROM holdfast.subscription WHERE high = (SELECT max(seq) FROM holdfast.outbox)',
          )
        ).rowCount === 1,
    );

  it('deletes what is old and delivered, and keeps what is young, undelivered, parked or wanted by a replay', async () => {
    const { relay, transport } = await lab.relay({ retry: { attempts: 1 } });
    transport.respond = async (batch) =>
      batch.map((message) =>
        message.wire.includes('"n": 2') ? { kind: 'refused', permanent: true, error: new Error('no') } : published,
      );
    await lab.write({ n: 1 }, { n: 2, who: 'x' }, { n: 3 }, { n: 4 }, { n: 5 });
    await relay.tick();
    await stored();
    await lab.database.transaction((client) =>
      insertReplay(client, 'holdfast', {
        id: randomUUID(),
        subscription: 'main',
        fromSeq: 4,
        toSeq: 4,
        topic: null,
        key: null,
      }),
    );
    await lab.write({ n: 6 });
    await age('1, 2, 3, 4, 6');
    expect(await relay.prune()).toBe(2);
    expect(await left()).toEqual([2, 4, 5, 6]);
  });

  it('keeps everything that a subscription has not delivered, late committers included', async () => {
    const fast = await lab.relay({ name: 'fast' });
    const slow = await lab.relay({ name: 'slow' });
    const late = await lab.database.pool.connect();
    await late.query('BEGIN');
    await lab.send(late, { n: 1 });
    await lab.write({ n: 2 });
    await fast.relay.tick();
    await age('2');
    expect(await fast.relay.prune()).toBe(0);
    await slow.relay.tick();
    await late.query('COMMIT');
    late.release();
    await lab.until(
      async () => (await lab.database.query('SELECT 1 FROM holdfast.subscription WHERE high = 2')).rowCount === 2,
    );
    await age('1, 2');
    expect(await fast.relay.prune()).toBe(1);
    expect(await left()).toEqual([1]);
  });
});

describe('a long retention round', () => {
  it('does not keep a relay from stopping: the rest goes next time', async () => {
    const rows = 40_000;
    await lab.database.query(
      `INSERT INTO holdfast.outbox (xid, id, topic, lane, payload, headers, created_at)
       SELECT pg_current_xact_id(), gen_random_uuid(), 'note', 0, '{}', '{}', now() - interval '1 year' FROM generate_series(1, ${rows})`,
    );
    const { relay } = await lab.relay({ from: 'now' });
    // Somebody holds a row of the second chunk, so that it is under way when the stop comes.
    const holder = await lab.database.pool.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM holdfast.outbox WHERE seq = 7000 FOR UPDATE');
    await relay.start();
    await lab.until(
      async () =>
        (
          await lab.database.query(
            `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%chunk%'`,
          )
        ).rowCount === 1,
    );
    const stopped = relay.stop();
    await holder.query('COMMIT');
    holder.release();
    await stopped;
    const left = await lab.database.query<{ count: string }>('SELECT count(*) FROM holdfast.outbox');
    expect(Number(left.rows[0]?.count)).toBe(rows - 10_000);
  });
});

describe('ordered destinations', () => {
  it('name the predecessor of each message of a key, across pages and relays', async () => {
    const routes = [{ topics: '**', to: 'all', ordered: true }];
    const first = await lab.relay({ routes });
    await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'b' }, { n: 3, who: 'a' });
    await first.relay.tick();
    await first.relay.stop();
    const second = await lab.relay({ routes });
    await lab.write({ n: 4, who: 'a' });
    await second.relay.tick();
    const all = [...wires(first.transport), ...wires(second.transport)];
    const idOf = (n: number) => all.find((wire) => wire.data.n === n)?.id;
    expect(all.map((wire) => [wire.data.n, wire.predecessorid])).toEqual([
      [1, undefined],
      [2, undefined],
      [3, idOf(1)],
      [4, idOf(3)],
    ]);
  });

  it('never make two messages wait for each other when a page is sent again', async () => {
    const routes = [{ topics: '**', to: 'all', ordered: true }];
    const first = await lab.relay({ routes }, { owner: 'dies' });
    await lab.write({ n: 1, who: 'a' }, { n: 2, who: 'a' });
    // The broker has them, the answer never comes, the process dies.
    first.transport.respond = async (batch) => {
      first.transport.sent.push(...batch);
      throw new TypeError('gone');
    };
    await first.relay.start();
    await lab.until(async () => first.transport.sent.length > 0);
    await first.relay.stop();
    const second = await lab.relay({ routes });
    await second.relay.tick();
    const [one, two] = wires(second.transport);
    expect(one?.predecessorid).toBeUndefined();
    expect(two?.predecessorid).toBe(one?.id);
  });

  it('leave a refused message out of the chain', async () => {
    const { relay, transport } = await lab.relay({
      routes: [{ topics: '**', to: 'all', ordered: true }],
      onRefused: 'skip',
    });
    await lab.write({ n: 1, who: 'a' });
    await relay.tick();
    transport.respond = async (batch) =>
      batch.map(() => ({ kind: 'refused', permanent: true, error: new Error('no') }));
    await lab.write({ n: 2, who: 'a' });
    await relay.tick();
    transport.respond = undefined;
    await lab.write({ n: 3, who: 'a' });
    await relay.tick();
    const [one, three] = wires(transport);
    expect([three?.data.n, three?.predecessorid]).toEqual([3, one?.id]);
  });

  it('keep their predecessor when they are refused once and sent again', async () => {
    const { relay, transport } = await lab.relay({
      routes: [{ topics: '**', to: 'all', ordered: true }],
      retry: { attempts: 3, base: 1, cap: 1 },
    });
    await lab.write({ n: 1, who: 'a' });
    await relay.tick();
    let refusals = 0;
    transport.respond = async (batch) =>
      batch.map(() => (refusals++ === 0 ? { kind: 'refused', permanent: false, error: new Error('busy') } : published));
    await lab.write({ n: 2, who: 'a' });
    await relay.tick();
    const [one, two] = wires(transport);
    expect([two?.data.n, two?.predecessorid]).toEqual([2, one?.id]);
  });
});

/**
 * Sequences that are behind the rows they number, as logical replication leaves them: raised before they can harm, or refused; what was
 * written behind the cursor all the same is found.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createOutbox, item } from '../../src/outbox/outbox.ts';
import { message } from '../../src/message/message-type.ts';
import { z } from 'zod';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { migrate } from '../../src/postgres/migrator.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }), key: () => 'me' });
const SEQUENCES = ['outbox_seq_seq', 'audit_id_seq', 'parked_delivery_position_seq', 'saga_mail_id_seq'];

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

/** The rows 41 to 50 and the cursor behind them, all of another cluster; sequences as they were made. */
async function asReplicated(options: { readonly started: boolean }): Promise<void> {
  await lab.database.query(
    `INSERT INTO holdfast.outbox (xid, seq, id, topic, key, lane, payload, headers, created_at) OVERRIDING SYSTEM VALUE
     SELECT (5000000 + n)::text::xid8, n, gen_random_uuid(), 'note.taken', 'me', 0, jsonb_build_object('n', -n), '{"schemaversion":1}',
       now() - interval '1 minute' FROM generate_series(41, 50) AS n`,
  );
  await lab.database.query(
    `INSERT INTO holdfast.subscription (name, snapshot, high, system_identifier, advanced_at)
     VALUES ('main', '5000051:5000051:', 50, 1, now() - interval '50 seconds')`,
  );
  await lab.database.query('ALTER SEQUENCE holdfast.outbox_seq_seq RESTART');
  // A sequence is not replicated either: that nothing has set it says that nobody has looked yet.
  if (!options.started) await lab.database.query('ALTER SEQUENCE holdfast.relay_asleep RESTART');
}

const seqs = async () =>
  (await lab.database.query<{ seq: string }>('SELECT seq FROM holdfast.outbox ORDER BY seq')).rows.map((row) =>
    Number(row.seq),
  );

describe('the first message in another cluster', () => {
  const outbox = createOutbox();
  it.each([
    ['send', () => lab.write({ n: 1 })],
    ['sendAll', () => lab.database.transaction((tx) => outbox.sendAll(tx, [item(Noted, { n: 1 })]))],
    ['SQL', () => lab.database.query(`SELECT holdfast.send('note.taken', '{"n":1}', 'me')`)],
  ])('by %s stands behind those that came with the tables', async (_name, write) => {
    await asReplicated({ started: false });
    await write();
    expect((await seqs()).at(-1)).toBeGreaterThan(50);
  });

  it('reaches the relay, and so do all after it', async () => {
    await asReplicated({ started: false });
    for (let n = 1; n <= 60; n += 1) await lab.write({ n });
    const { relay, transport } = await lab.relay({ failoverReplay: 'never' });
    for (let round = 0; round < 3; round += 1) await relay.tick();
    expect(lab.numbers(transport)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1));
  });
});

describe('messages written behind the cursor', () => {
  /** By a writer that does not look: everything that looked did so before the tables came. */
  async function writeBlindly(count: number): Promise<number[]> {
    const acknowledged: number[] = [];
    for (let n = 1; n <= count; n += 1) {
      try {
        await lab.write({ n });
        acknowledged.push(n);
      } catch (error) {
        expect(error).toMatchObject({ code: 'HF_SEQUENCE_BEHIND' });
      }
    }
    return acknowledged;
  }

  it('are refused by the right name when their place is taken, and none that was acknowledged is lost', async () => {
    await asReplicated({ started: true });
    const acknowledged = await writeBlindly(60);
    expect(acknowledged).toHaveLength(50);
    const { relay, transport } = await lab.relay({ failoverReplay: 'never' });
    for (let round = 0; round < 3; round += 1) await relay.tick();
    expect(lab.numbers(transport)).toEqual(expect.arrayContaining(acknowledged));
    // In the order in which they were written, among themselves.
    const first = acknowledged.map((n) => lab.numbers(transport).indexOf(n));
    expect(first).toEqual(first.toSorted((a, b) => a - b));
  });

  it('are found when they were written under a savepoint', async () => {
    await asReplicated({ started: true });
    await lab.database.transaction(async (tx) => {
      await lab.send(tx, { n: 1 });
      await tx.query('SAVEPOINT inner_one');
      await lab.send(tx, { n: 2 });
      await tx.query('RELEASE inner_one');
    });
    const { relay, transport } = await lab.relay({ failoverReplay: 'never' });
    await relay.tick();
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([1, 2]);
  });

  it('are found by a relay that runs when the sequence is put back under it', async () => {
    await asReplicated({ started: true });
    const { relay, transport } = await lab.relay({ failoverReplay: 'never' });
    await relay.tick();
    await lab.database.query('ALTER SEQUENCE holdfast.outbox_seq_seq RESTART');
    await lab.write({ n: 1 }, { n: 2 });
    await expect(relay.tick()).rejects.toMatchObject({ code: 'HF_SEQUENCE_BEHIND' });
    await relay.tick();
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([1, 2]);
    await lab.write({ n: 3 });
    await relay.tick();
    expect(lab.numbers(transport)).toEqual([1, 2, 3]);
  });

  it('are found by the next relay, when the log was emptied with RESTART IDENTITY below its floor and grew beyond it', async () => {
    await asReplicated({ started: true });
    const first = await lab.relay({ failoverReplay: 'never' });
    await first.relay.tick();
    await first.relay.stop();
    await lab.database.query('TRUNCATE holdfast.outbox RESTART IDENTITY');
    await lab.write(...Array.from({ length: 60 }, (_, index) => ({ n: index + 1 })));
    const second = await lab.relay({ failoverReplay: 'never' });
    await second.relay.tick();
    await second.relay.tick();
    expect(lab.numbers(second.transport).toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: 60 }, (_, index) => index + 1),
    );
  });
});

describe('every sequence that numbers rows', () => {
  it('is watched', async () => {
    const { rows } = await lab.database.query<{ name: string; watched: boolean }>(
      `SELECT c.relname AS name, f.prosrc LIKE '%' || c.relname || '%' AS watched
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_depend d ON d.objid = c.oid AND d.deptype IN ('i', 'a')
         JOIN pg_proc f ON f.pronamespace = n.oid AND f.proname = 'sequences_behind'
       WHERE c.relkind = 'S' AND n.nspname = 'holdfast' AND d.refobjsubid > 0`,
    );
    expect(rows.filter(({ watched }) => !watched)).toEqual([]);
    expect(rows.map(({ name }) => name).toSorted()).toEqual(SEQUENCES.toSorted());
  });

  it('is told of by the doctor and raised by migrate', async () => {
    const id = randomUUID();
    await lab.database.query(
      `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body) VALUES ('${id}', 's', 1, 'signal', '{}')`,
    );
    await lab.database.query(`INSERT INTO holdfast.audit (actor, action, subject) VALUES ('a', 'b', 'c')`);
    await lab.database
      .query(`INSERT INTO holdfast.parked_delivery (consumer, message_id, topic, envelope, state, reason)
      VALUES ('c', '${id}', 't', '{}', 'failed', 'r')`);
    await lab.write({ n: 1 });
    for (const name of SEQUENCES) await lab.database.query(`ALTER SEQUENCE holdfast.${name} RESTART`);
    const told = (await doctor(lab.database)).findings.filter(({ check }) => check === 'tables.sequence-behind');
    expect(told.map(({ level }) => level)).toEqual(SEQUENCES.map(() => 'error'));
    const repairs: string[] = [];
    await migrate(lab.database, { onRepair: ({ what }) => void repairs.push(what) });
    expect(repairs).toHaveLength(SEQUENCES.length);
    await lab.database.query(
      `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body) VALUES ('${id}', 's', 1, 'signal', '{}')`,
    );
    await lab.database.query(`INSERT INTO holdfast.audit (actor, action, subject) VALUES ('a', 'b', 'c')`);
    await lab.write({ n: 2 });
    expect((await doctor(lab.database)).findings.filter(({ check }) => check === 'tables.sequence-behind')).toEqual([]);
    await lab.database.query('TRUNCATE holdfast.saga_mail, holdfast.audit, holdfast.parked_delivery');
  });
});

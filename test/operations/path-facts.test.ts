/** What a message's way is made of, each fact by itself: rows as services leave them, and what may be told of them. */
import type pg from 'pg';
import { beforeEach, describe, expect, it } from 'vitest';
import { messagePath } from '../../src/operations/path/message-path.ts';
import { nameCalls } from '../../src/operations/sagas/sent-by-run.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { Note, NOBODY, useLab } from './lab.ts';
import { emptySagas, seedRun } from './saga-lab.ts';

const lab = useLab();
beforeEach(() => emptySagas(lab.database));

type Tx = pg.PoolClient;
let n = 0;
async function send(tx: Tx, causationId?: string): Promise<string> {
  n += 1;
  return (await lab.outbox.send(tx, Note, { n }, causationId === undefined ? {} : { causationId })).id;
}
/** As a consumer that handles these, and sends meanwhile. */
const handling = <T>(ids: readonly string[], work: (tx: Tx) => Promise<T>): Promise<T> =>
  lab.database.transaction(async (tx) => {
    for (const id of ids)
      await tx.query(`INSERT INTO holdfast.inbox (consumer, message_id) VALUES ('billing', $1)`, [id]);
    return work(tx);
  });
const inTransaction = <T>(work: (tx: Tx) => Promise<T>): Promise<T> => handling([], work);
const wayOf = (id: string) => messagePath(lab.database, id);

describe('what a message led to', () => {
  it('is followed from handler to handler, and not into what only stood beside it', async () => {
    const first = await inTransaction(send);
    const other = await inTransaction(send);
    const [second, beside, ofOther] = await handling(
      [first, other],
      async (tx) => [await send(tx, first), await send(tx), await send(tx, other)] as const,
    );
    const third = await handling([second], (tx) => send(tx, second));
    await handling([beside], (tx) => send(tx, beside));
    await lab.database.query(
      `UPDATE holdfast.outbox SET created_at = created_at - interval '8 seconds' + seq * interval '1 second'`,
    );
    const { led, ledComplete, steps } = await wayOf(first);
    expect(led.map(({ id, from, depth, relation }) => ({ id, from, depth, relation }))).toEqual([
      { id: second, from: first, depth: 1, relation: 'caused' },
      { id: beside, from: first, depth: 1, relation: 'together' },
      { id: third, from: second, depth: 2, relation: 'caused' },
    ]);
    expect(led.map(({ id }) => id)).not.toContain(ofOther);
    expect(ledComplete).toBe(true);
    expect((await wayOf(third)).causes.map(({ id }) => id)).toEqual([second, first]);

    // In the order of time, each with what passed since the one before.
    const known = steps.filter(({ at }) => at !== null);
    expect(known.length).toBeGreaterThan(4);
    for (const [index, { at, afterMs, sinceWrittenMs }] of known.entries()) {
      const before = known[index - 1]?.at?.getTime() ?? null;
      const ms = at?.getTime() ?? 0;
      expect(afterMs).toBe(before === null ? null : ms - before);
      expect(afterMs ?? 0).toBeGreaterThanOrEqual(0);
      expect(sinceWrittenMs).toBe(ms - (known.find(({ kind }) => kind === 'written')?.at?.getTime() ?? 0));
    }
  });

  it('is looked for behind it where no consumer keeps a mark', async () => {
    const first = await inTransaction(send);
    const second = await inTransaction((tx) => send(tx, first));
    await inTransaction(send);
    expect((await wayOf(first)).led).toMatchObject([{ id: second, depth: 1, relation: 'caused' }]);
  });
});

describe('what a transaction wrote', () => {
  it('is told beside each message of it, and of no other', async () => {
    const [one, two] = await lab.write({ n: 1 }, { n: 2 });
    await lab.write({ n: 3 });
    expect((await wayOf(one!)).together.messages.map(({ id }) => id)).toEqual([two]);
    expect((await wayOf(two!)).together.messages.map(({ id }) => id)).toEqual([one]);
  });

  it('is not told of what was scheduled: a relay wrote it, with whatever else was due', async () => {
    await lab.database.query(
      `INSERT INTO holdfast.outbox (xid, id, topic, lane, payload, headers)
       SELECT pg_current_xact_id(), ('0197a3c2-5b1e-7cc3-98c4-dc0c0c07000' || i)::uuid, 'note.taken', 1, '{}', '{"schemaversion":1}'
       FROM generate_series(1, 2) i`,
    );
    const { together, state } = await wayOf('0197a3c2-5b1e-7cc3-98c4-dc0c0c070001');
    expect({ together, state }).toEqual({ together: { messages: [], runs: [] }, state: 'logged' });
  });
});

describe('a reply', () => {
  const called: JournalEvent = { t: 'called', call: 'charge', kind: 'command', step: 'charge' };
  const replyTo = async (runId: string): Promise<string> => {
    const { rows } = await lab.database.query<{ id: string }>(`SELECT holdfast.send('saga.reply', $1::jsonb) AS id`, [
      JSON.stringify({ runId, call: 'charge', to: 'command', outcome: 'done', output: null }),
    ]);
    return rows[0]!.id;
  };

  it('waits until its run has taken it in', async () => {
    const runId = await seedRun(lab.database, { journal: [[{ t: 'started', input: {} }, called]] });
    const id = await replyTo(runId);
    expect((await wayOf(id)).answer).toMatchObject({ runId, call: 'charge', state: 'unknown', taken: null });
    await lab.database.query(
      `INSERT INTO holdfast.saga_mail (saga_id, saga, version, kind, body)
       SELECT id, saga, version, 'reply', '{"call": "charge"}' FROM holdfast.saga_run WHERE id = $1`,
      [runId],
    );
    const { answer, steps } = await wayOf(id);
    expect(answer).toMatchObject({ state: 'waiting' });
    expect(steps.at(-1)).toMatchObject({
      kind: 'run',
      trouble: true,
      text: expect.stringMatching(/has not taken it in/),
    });
    await lab.database.query(
      `INSERT INTO holdfast.saga_journal (saga_id, n, events, at) VALUES ($1, 1, '[{"t": "done", "call": "charge"}]', clock_timestamp())`,
      [runId],
    );
    expect((await wayOf(id)).answer).toMatchObject({ state: 'taken in', taken: { event: 'done' } });
  });

  it('that came after the call had ended is not what ended it', async () => {
    const journal: readonly (readonly JournalEvent[])[] = [
      [{ t: 'started', input: {} }, called],
      [{ t: 'done', call: 'charge' }],
    ];
    const id = await replyTo(await seedRun(lab.database, { journal, startedAgo: 60 }));
    expect((await wayOf(id)).answer).toMatchObject({ state: 'unknown', taken: null });
  });

  it('to a run of another database leads nowhere, and says so', async () => {
    const { answer, steps } = await wayOf(await replyTo(NOBODY));
    expect(answer).toMatchObject({ run: null, state: 'unknown' });
    expect(steps.at(-1)?.text).toMatch(/is not in this database/);
  });
});

describe('messages that a run emitted', () => {
  it('belong to its calls in the order in which their commit names them', () => {
    const event = (call: string): JournalEvent => ({ t: 'called', call, kind: 'emit', step: call });
    const nothing = { key: null, correlation: 'r', causation: null, run: null, call: null, role: null };
    const row = (id: string, seq: number, rowN: number) => ({
      ...nothing,
      n: rowN,
      id,
      seq: String(seq),
      topic: 'note.taken',
      at: 0,
    });
    const journal = [
      { n: 0, at: 0, events: [event('tell'), event('warn')] },
      { n: 1, at: 1, events: [event('close')] },
    ];
    const named = nameCalls([row('a', 1, 0), row('b', 2, 0), row('c', 3, 1), row('d', 4, 1)], journal);
    expect(named.map(({ id, call, role }) => [id, call, role])).toEqual([
      ['a', 'tell', 'emitted'],
      ['b', 'warn', 'emitted'],
      ['c', 'close', 'emitted'],
      ['d', null, 'emitted'],
    ]);
  });
});

/** What a consumer has parked, with another payload: in its place, under a new id, once; and what waits behind it sees nothing of that. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { PARK_REASONS } from '../../src/inbox/handlers/decide.ts';
import { on, type HandlerContext } from '../../src/inbox/handlers/handler.ts';
import { listParked, showParked } from '../../src/operations/parked/parked.ts';
import { mergePatch, revise } from '../../src/operations/parked/payload-revision.ts';
import { previewRevision, reviseParked } from '../../src/operations/parked/revise.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from '../inbox/lab.ts';
import { BAD_REVISIONS } from './bad-revisions.ts';

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const me = { actor: 'anna', reason: 'the shop sent cents' };
const DONE = { kind: 'done' };

/** Refuses orders of more than a hundred. */
async function effect(order: { readonly n: number }, { tx, message }: HandlerContext<PoolClient>): Promise<void> {
  if (order.n > 100) throw new Error(`${order.n} is too much`);
  const revises = message.headers['holdfast-revises'];
  await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [
    message.id,
    revises === undefined ? String(order.n) : `${order.n} instead of ${revises}`,
  ]);
}
const make = (ordered: boolean): Consumer =>
  lab.make({ ordered, retry: { attempts: 1 }, parkedRetry: { attempts: 1 }, handlers: [on(Placed, effect)] });
const numbered = (n: number, rest: Parameters<typeof wire>[0] = {}): ReturnType<typeof wire> =>
  wire({ key: 'k', data: { orderId: 'k', n }, ...rest });
const notes = async (): Promise<readonly string[]> => (await lab.effects()).map(({ note }) => note);
const audit = async (): Promise<readonly Record<string, unknown>[]> =>
  (await lab.database.query('SELECT actor, action, subject, reason, details FROM holdfast.audit ORDER BY id')).rows;

describe('a new version', () => {
  it('takes the place of the message in the order of its key, and is handled once', async () => {
    const consumer = make(true);
    const [first, second, third] = [numbered(500), numbered(2), numbered(3)];
    for (const each of [first, second, third]) expect(await consumer.handle(delivery(each))).toEqual(DONE);
    const { id, ...revised } = await reviseParked(lab.database, { id: first.id }, { patch: { n: 5 } }, me);
    const where = { kind: 'consumer', where: 'shipping' };
    expect(revised).toEqual({ ...where, replaces: first.id, topic: 'order.placed', key: 'k', inDoubt: false });
    expect((await listParked(lab.database)).map((each) => `${each.id} ${each.state}`).toSorted()).toEqual(
      [`${id} failed`, `${second.id} behind`, `${third.id} behind`].toSorted(),
    );
    expect((await showParked(lab.database, second.id))[0]).toMatchObject({ headId: id, revised: false });
    expect((await showParked(lab.database, id))[0]).toMatchObject({ data: { n: 5 }, revised: true });
    // A duplicate of the old one is still one, before and after.
    expect(await consumer.handle(delivery(first))).toEqual(DONE);
    await consumer.tickParked();
    expect(await consumer.handle(delivery(first))).toEqual(DONE);
    expect(await notes()).toEqual([`5 instead of ${first.id}`, '2', '3']);
    expect((await lab.effects()).map((each) => each.id)).toEqual([id, second.id, third.id]);
    expect(await audit()).toEqual([
      {
        ...me,
        action: 'parked.revise',
        subject: `shipping/${first.id}`,
        details: { kind: 'consumer', newId: id, topic: 'order.placed', key: 'k', state: 'failed', bytes: 21 },
      },
    ]);
  });

  it('of one that waits behind another waits in its place; one that names the old one as its predecessor goes on', async () => {
    const consumer = make(true);
    const first = numbered(500);
    const second = numbered(2, { predecessor: { id: first.id } });
    const third = numbered(3, { predecessor: { id: second.id } });
    for (const each of [first, second, third]) await consumer.handle(delivery(each));
    const { id } = await reviseParked(lab.database, { id: second.id }, { payload: { orderId: 'k', n: 22 } }, me);
    await consumer.tickParked();
    expect(await notes()).toEqual([]);
    await reviseParked(lab.database, { id: first.id }, { patch: { n: 1 } }, me);
    await consumer.tickParked();
    expect(await notes()).toEqual([`1 instead of ${first.id}`, `22 instead of ${second.id}`, '3']);
    expect((await lab.effects())[1]?.id).toBe(id);
  });

  it('begins anew, and the mark of the old one lasts from now on', async () => {
    const consumer = make(true);
    const [first, second] = [numbered(500), numbered(2)];
    for (const each of [first, second]) await consumer.handle(delivery(each));
    await lab.database.query(
      `UPDATE holdfast.parked_delivery SET parked_at = now() - interval '1 day', attempts = 7, redrives = 3;
       UPDATE holdfast.inbox SET handled_at = now() - interval '6 days'`,
    );
    const rows = async () =>
      (
        await lab.database.query(
          `SELECT message_id, state, reason, error, attempts, redrives, now() - parked_at < interval '1 min' AS is_new
           FROM holdfast.parked_delivery ORDER BY position`,
        )
      ).rows;
    const { id } = await reviseParked(lab.database, { id: first.id }, { patch: { n: 5 } }, me);
    const { id: behind } = await reviseParked(lab.database, { id: second.id }, { patch: { n: 3 } }, me);
    const anew = { error: null, attempts: 0, redrives: 0, is_new: true };
    expect(await rows()).toEqual([
      { message_id: id, state: 'failed', reason: PARK_REASONS.revised, ...anew },
      { message_id: behind, state: 'behind', reason: PARK_REASONS.behind, ...anew },
    ]);
    const { rows: marks } = await lab.database.query(
      `SELECT message_id FROM holdfast.inbox WHERE handled_at > now() - interval '1 min'`,
    );
    expect(marks.map((mark) => String(mark['message_id'])).toSorted()).toEqual([first.id, second.id].toSorted());
  });

  it.each([PARK_REASONS.predecessor, PARK_REASONS.released])('keeps saying %j', async (reason) => {
    const consumer = make(true);
    const sent = numbered(500);
    await consumer.handle(delivery(sent));
    await lab.database.query('UPDATE holdfast.parked_delivery SET reason = $1', [reason]);
    await reviseParked(lab.database, { id: sent.id }, { patch: { n: 5 } }, me);
    expect(await listParked(lab.database)).toMatchObject([{ reason }]);
  });

  it('can fail again, and be edited again', async () => {
    const consumer = make(false);
    const sent = numbered(500);
    await consumer.handle(delivery(sent));
    const again = await reviseParked(lab.database, { id: sent.id }, { patch: { n: 400 } }, me);
    await consumer.tickParked();
    const [parked] = await listParked(lab.database);
    expect(parked).toMatchObject({
      id: again.id,
      state: 'dead',
      error: 'Error: 400 is too much',
      reason: expect.stringMatching(/gave up/),
    });
    await reviseParked(lab.database, { id: again.id }, { patch: { n: 4 } }, me);
    await consumer.tickParked();
    expect(await notes()).toEqual([`4 instead of ${again.id}`]);
  });

  it('is not handled beside the old one by a redrive that had read it before', async () => {
    const sent = numbered(500);
    let revised: Promise<{ readonly id: string }> | undefined;
    let claimed = false;
    const consumer = lab.make({
      retry: { attempts: 1 },
      parkedRetry: { attempts: 5, base: 0 },
      handlers: [on(Placed, effect)],
      crashPoint: (point) => {
        if (point === 'parked.claim:after' && !claimed) {
          claimed = true;
          revised = reviseParked(lab.database, { id: sent.id }, { patch: { n: 5 } }, me);
        }
      },
    });
    await consumer.handle(delivery(sent));
    await lab.database.query('UPDATE holdfast.parked_delivery SET next_attempt_at = now()');
    await consumer.tickParked();
    const { id } = (await revised) ?? { id: '' };
    await consumer.tickParked();
    expect(await notes()).toEqual([`5 instead of ${sent.id}`]);
    expect((await lab.effects()).map((each) => each.id)).toEqual([id]);
    expect(await listParked(lab.database)).toEqual([]);
  });

  it('commits with its row of the audit or not at all', async () => {
    const consumer = make(false);
    const sent = numbered(500);
    await consumer.handle(delivery(sent));
    await lab.database.query('ALTER TABLE holdfast.audit ADD CONSTRAINT no_audit CHECK (false) NOT VALID');
    try {
      await expect(reviseParked(lab.database, { id: sent.id }, { patch: { n: 5 } }, me)).rejects.toThrow(/no_audit/);
    } finally {
      await lab.database.query('ALTER TABLE holdfast.audit DROP CONSTRAINT no_audit');
    }
    expect(await listParked(lab.database)).toMatchObject([{ id: sent.id }]);
    expect((await showParked(lab.database, sent.id))[0]?.data).toEqual({ orderId: 'k', n: 500 });
  });
});

describe('an edit is refused', () => {
  it('without a reason, for what is not parked, and while the message is being handled', async () => {
    const consumer = make(false);
    const sent = numbered(500);
    await consumer.handle(delivery(sent));
    const act = (reason: string) => reviseParked(lab.database, { id: sent.id }, { patch: {} }, { ...me, reason });
    await expect(act(' ')).rejects.toMatchObject({ code: 'HF_CONFIG' });
    await expect(reviseParked(lab.database, { id: randomUUID() }, { patch: {} }, me)).rejects.toMatchObject({
      code: 'HF_NOT_FOUND',
    });
    const client = await lab.database.pool.connect();
    try {
      await client.query('BEGIN; SELECT 1 FROM holdfast.parked_delivery FOR UPDATE');
      await expect(act('x')).rejects.toMatchObject({ code: 'HF_LOCK_WAIT' });
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
    expect(await audit()).toEqual([]);
  });

  it.each(BAD_REVISIONS)('for %s', (_, revision) => {
    const { id, text } = numbered(1);
    expect(() => revise(text, revision as { payload: unknown }, { id, newId: id })).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^HF_(CONFIG|PAYLOAD_\w+)$/) as string }),
    );
  });

  it('for one that cannot be read, whose data is elsewhere, or whose numbers a patch would alter', () => {
    const ids = { id: randomUUID(), newId: randomUUID() };
    const { text } = numbered(1);
    const patch = { patch: {} };
    expect(() => revise('{"data":1}', patch, ids)).toThrow(/cannot be read/);
    expect(() => revise(text.replace('"data"', '"dataref":"s3://a","data"'), patch, ids)).toThrow(/dataref/);
    const large = text.replace('"n":1', '"n":9007199254740993');
    expect(() => revise(large, patch, ids)).toThrow(/would be altered/);
    expect(JSON.parse(revise(large, { payload: { n: 2 } }, ids).envelope)).toMatchObject({ data: { n: 2 } });
  });
});

describe('the new envelope', () => {
  it('is the old one but for id, data and the header that names what it revises', () => {
    const { id, text } = wire({ key: 'k', predecessor: { id: randomUUID() } });
    const newId = randomUUID();
    const old = JSON.parse(text.replace('"data"', '"headers":{"a":"b"},"data"')) as Record<string, unknown>;
    const { envelope, before, after } = revise(JSON.stringify(old), { payload: [1] }, { id, newId });
    expect(JSON.parse(envelope)).toEqual({ ...old, id: newId, data: [1], headers: { a: 'b', 'holdfast-revises': id } });
    expect({ before, after }).toEqual({ before: old['data'], after: [1] });
  });

  it('is shown before, and nothing is changed then', async () => {
    const consumer = make(false);
    const sent = numbered(500);
    await consumer.handle(delivery(sent));
    expect(await previewRevision(lab.database, { id: sent.id }, { patch: { n: 5, orderId: null } })).toEqual({
      kind: 'consumer',
      where: 'shipping',
      topic: 'order.placed',
      key: 'k',
      before: { orderId: 'k', n: 500 },
      after: { n: 5 },
      exact: true,
      inDoubt: false,
    });
    expect(await listParked(lab.database, { kind: 'consumer' })).toMatchObject([{ id: sent.id }]);
    expect(await audit()).toEqual([]);
    // What is shown is not quite what is there.
    await lab.database.query(
      `UPDATE holdfast.parked_delivery SET envelope = jsonb_set(envelope, '{data,n}', '9007199254740993')`,
    );
    const shown = await previewRevision(lab.database, { id: sent.id }, { payload: { n: 5 } });
    expect(shown).toMatchObject({ exact: false, after: { n: 5 } });
  });
});

describe('a merge patch', () => {
  it('does what RFC 7396 shows', () => {
    const cases: readonly (readonly [unknown, unknown, unknown])[] = [
      [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
      [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
      [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
      [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
      [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
      [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
      [
        ['a', 'b'],
        ['c', 'd'],
        ['c', 'd'],
      ],
      [{ a: 'b' }, null, null],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }],
      [[1, 2], { a: 'b', c: null }, { a: 'b' }],
      [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ];
    for (const [value, patch, result] of cases) expect(mergePatch(value, patch)).toEqual(result);
  });

  it('done twice is as done once, and an empty one changes no object', () => {
    const json = fc.jsonValue();
    fc.assert(
      fc.property(json, json, (value, patch) => {
        const once = mergePatch(value, patch);
        expect(mergePatch(once, patch)).toEqual(once);
      }),
    );
    fc.assert(
      fc.property(fc.dictionary(fc.string(), json), (value) => {
        expect(mergePatch(value, {})).toEqual({ ...value });
      }),
    );
  });
});

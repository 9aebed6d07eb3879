/** A consumer and payloads that are encrypted: read by whoever has the key, parked by others, and never handled as something else. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { on } from '../../src/inbox/handlers/handler.ts';
import { createAesGcmCodec } from '../../src/message/aes-gcm-codec.ts';
import { placeOfPayload } from '../../src/message/open-envelope.ts';
import { reviseParked } from '../../src/operations/parked/revise.ts';
import { createOutbox } from '../../src/outbox/outbox.ts';
import { handle } from '../../src/saga/participant/handle.ts';
import { createParticipant } from '../../src/saga/participant/participant.ts';
import type { DatabaseParticipantOptions } from '../../src/saga/participant/participant-options.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { clean, delivery, openLab, Placed, wire, type Lab } from './lab.ts';

const A = Buffer.alloc(32, 1).toString('base64');
const B = Buffer.alloc(32, 2).toString('base64');
const codec = createAesGcmCodec({ keys: { a: A } });
const both = createAesGcmCodec({ keys: { a: A, b: B }, use: 'a' });

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const handlers = [
  on(Placed, async (order, { tx, message }) => {
    if (order.n === 0) throw new Error(`cannot bear ${order.orderId}`);
    await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, `${order.orderId} ${order.n}`]);
  }),
];
const shipping = (options: Partial<Parameters<Lab['make']>[0]> = {}) => lab.make({ handlers, ...options });
function encrypted(data: object = { orderId: 'o-1', n: 1 }, by = codec, as: { id?: string; topic?: string } = {}) {
  const id = randomUUID();
  const place = placeOfPayload({ id, topic: 'order.placed', ...as });
  return wire({ id, data: JSON.parse(by.encode(JSON.stringify(data), place)) });
}
const testParticipantWith = (options: Partial<DatabaseParticipantOptions>) =>
  createParticipant('seats', {
    database: lab.database,
    transport: createMemoryTransport(),
    handlers: [handle(Placed, () => {})],
    ...options,
  });
const notes = async () => (await lab.effects()).map(({ note }) => note);

describe('a payload that is encrypted', () => {
  it.each([false, true])('is handled as what it is, once (batch: %s)', async (batch) => {
    const consumer = shipping({ codec, batch });
    const sent = encrypted();
    await Promise.all([consumer.handle(delivery(sent)), consumer.handle(delivery(encrypted()))]);
    await consumer.handle(delivery(sent));
    expect(await notes()).toEqual(['o-1 1', 'o-1 1']);
  });

  it.each([
    ['without a codec', () => encrypted(), undefined],
    ['without its key', () => encrypted({ orderId: 'o-1', n: 1 }, createAesGcmCodec({ keys: { b: B } })), codec],
    ['that was moved from another message', () => encrypted(undefined, codec, { id: randomUUID() }), codec],
    ['that was moved from another topic', () => encrypted(undefined, codec, { topic: 'order.shipped' }), codec],
  ])('%s is parked at once, to be tried again', async (_, make, own) => {
    await shipping(own === undefined ? {} : { codec: own }).handle(delivery(make()));
    const [row] = await lab.parked();
    expect(row).toMatchObject({ state: 'failed', attempts: 1 });
    expect(row?.error).toContain('[HF_PAYLOAD_ENCRYPTED]');
    expect(row?.next_attempt_at).toBeInstanceOf(Date);
    expect(await lab.effects()).toEqual([]);
  });

  it('is not made readable by an outbox that was made without a codec', async () => {
    const outbox = createOutbox();
    expect(() => shipping({ codec, outbox })).toThrow(/an outbox without one/);
    expect(() => testParticipantWith({ codec, outbox })).toThrow(/an outbox without one/);
    shipping({ codec, outbox: createOutbox({ codec }) });
    testParticipantWith({ codec });
  });

  it('is handled once a process has the key', async () => {
    const sent = encrypted({ orderId: 'o-7', n: 7 }, createAesGcmCodec({ keys: { b: B } }));
    await shipping({ codec }).handle(delivery(sent));
    await lab.test.pool.query('UPDATE holdfast.parked_delivery SET next_attempt_at = now()');
    await shipping({ codec: both }).tickParked();
    expect(await lab.effects()).toEqual([{ id: sent.id, note: 'o-7 7' }]);
    expect(await lab.parked()).toEqual([]);
  });

  it('may be required, which others are not', async () => {
    const required = createAesGcmCodec({ keys: { a: A }, required: true });
    await shipping({ codec }).handle(delivery(wire()));
    await shipping({ codec: required }).handle(delivery(wire()));
    await shipping({ codec: required }).handle(delivery(encrypted()));
    expect(await notes()).toEqual(['o-1 1', 'o-1 1']);
    expect(await lab.count('parked_delivery')).toBe(1);
  });

  it('of a message that is parked stays so, and so does what its error says', async () => {
    const consumer = shipping({ codec, retry: { attempts: 1 } });
    for (const orderId of ['secret-1', 'secret-2']) await consumer.handle(delivery(encrypted({ orderId, n: 0 })));
    const { rows } = await lab.test.pool.query<{ row: string; fingerprint: string; error: string }>(
      'SELECT p::text AS row, fingerprint, error FROM holdfast.parked_delivery p',
    );
    expect(rows.map(({ row }) => row).join()).not.toContain('secret');
    expect(rows[0]?.error).toMatch(/^Error: encrypted \{"\$enc":"a",/);
    // They are still of one kind.
    expect(new Set(rows.map(({ fingerprint }) => fingerprint)).size).toBe(1);
  });

  it('cannot be edited in part, but as a whole', async () => {
    const consumer = shipping({ codec, retry: { attempts: 1 } });
    const sent = encrypted({ orderId: 'o-1', n: 0 });
    await consumer.handle(delivery(sent));
    const me = { actor: 'test', reason: 'the number' };
    const selection = { consumer: 'shipping', id: sent.id };
    await expect(reviseParked(lab.database, selection, { patch: { n: 3 } }, me)).rejects.toMatchObject({
      code: 'HF_CONFIG',
    });
    await reviseParked(lab.database, selection, { payload: { orderId: 'o-1', n: 3 } }, me);
    await consumer.tickParked();
    expect(await notes()).toEqual(['o-1 3']);
  });
});

/**
 * A consumer that asks for signatures: what was not signed for it is parked, handled by nobody, and has no effect on the messages of others.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { on } from '../../src/inbox/handlers/handler.ts';
import { retryParkedDeliveries } from '../../src/inbox/stores/parked-operations.ts';
import type { Consumer } from '../../src/inbox/consumer.ts';
import { createSigner, type SignaturesOptions } from '../../src/message/signing.ts';
import { doctor } from '../../src/operations/doctor/doctor.ts';
import { listParked, showParked } from '../../src/operations/parked/parked.ts';
import { reviseParked } from '../../src/operations/parked/revise.ts';
import { noopMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { rememberingLogger } from '../support/failing-observers.ts';
import { clean, delivery, manualClock, openLab, Placed, wire, type Lab, type WireOptions } from './lab.ts';

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const OTHER = `whsec_${Buffer.alloc(32, 2).toString('base64')}`;
const me = { actor: 'test', reason: 'looked at it' };

let lab: Lab;
beforeAll(async () => {
  lab = await openLab();
});
beforeEach(() => clean(lab));
afterAll(() => lab.dispose());

const handlers = [
  on(Placed, async (order, { tx, message }) => {
    await tx.query('INSERT INTO effect (id, note) VALUES ($1, $2)', [message.id, `placed ${order.n}`]);
  }),
];
type Made = Parameters<Lab['make']>[0];
const shipping = (options: Partial<Made> = {}) =>
  lab.make({ handlers, signatures: { keys: { k1: SECRET } }, ...options });

const sign = createSigner({ keys: { k1: SECRET } }, 'sign');
function signed(options: WireOptions = {}, { destination = 'shipping', signer = sign, nowMs = Date.now() } = {}) {
  const { id, text } = wire(options);
  return { id, text: signer(text, { id, destination }, nowMs) };
}
const forged = (of: { readonly text: string }) => ({ text: of.text.replace('"n":1', '"n":2') });
const MESSAGES = 'holdfast_consumer_messages_total';
/** Notes results and outcomes that one counter is given. */
const countingMetrics = (counter: string, counted: string[]): Metrics => ({
  ...noopMetrics,
  counter: (name) => ({
    inc: (labels) => {
      const { result, outcome } = labels as { readonly result?: string; readonly outcome?: string };
      if (name === counter) counted.push(result ?? outcome ?? '');
    },
  }),
});
const notes = async () => (await lab.effects()).map(({ note }) => note);

describe('a consumer that asks for signatures', () => {
  it.each([false, true])('handles what was signed for it, once (batch: %s)', async (batch) => {
    const consumer = shipping({ batch });
    const sent = signed({ key: 'o-1' });
    await Promise.all([consumer.handle(delivery(sent)), consumer.handle(delivery(signed()))]);
    await consumer.handle(delivery(sent));
    expect(await notes()).toEqual(['placed 1', 'placed 1']);
    expect(await lab.parked()).toEqual([]);
  });

  it.each([
    ['without a signature', () => wire(), 'is not signed'],
    ['altered on its way', () => forged(signed()), 'signature that is wrong'],
    ['moved from another queue', () => signed({}, { destination: 'billing' }), 'another destination'],
    [
      'signed with a key of somebody else',
      () => signed({}, { signer: createSigner({ keys: { k1: OTHER } }, 'sign') }),
      'signature that is wrong',
    ],
    ['as old as marks are kept', () => signed({}, { nowMs: Date.now() - 14 * 86_400_000 }), 'would not be recognised'],
    ['that is no JSON', () => ({ text: '{"webhookid":' }), 'is not signed'],
  ])('parks one %s, which no handler sees, and acknowledges it', async (_, make, what) => {
    const sent = make();
    const consumer = shipping();
    expect(await consumer.handle(delivery(sent))).toEqual({ kind: 'done' });
    await consumer.handle(delivery(sent));
    const [row, ...more] = await lab.parked();
    expect(more).toEqual([]);
    expect(row).toMatchObject({ state: 'failed', reason: 'its signature is not accepted', next_attempt_at: null });
    expect(row?.error).toMatch(new RegExp(`HF_MESSAGE_UNVERIFIED.*${what}`));
    await consumer.tickParked();
    expect(await lab.effects()).toEqual([]);
  });

  it('does not take the true message for a duplicate of a forged one, nor hold its key up', async () => {
    const consumer = shipping({ ordered: true });
    const sent = signed({ key: 'o-1' });
    await consumer.handle(delivery(forged(sent)));
    await consumer.handle(delivery(sent));
    expect(await notes()).toEqual(['placed 1']);
    const [row] = await lab.parked();
    expect(row?.message_id).not.toBe(sent.id);
  });

  it('counts what it is given', async () => {
    const counted: string[] = [];
    const consumer = shipping({ metrics: countingMetrics('holdfast_consumer_signatures_total', counted) });
    for (const sent of [signed(), wire(), signed({}, { destination: 'billing' })])
      await consumer.handle(delivery(sent));
    expect(counted).toEqual(['right', 'unsigned', 'destination']);
  });

  it('may take unsigned ones until all are signed, and no wrong ones', async () => {
    const consumer = shipping({ signatures: { keys: { k1: SECRET }, required: false } });
    await consumer.handle(delivery(wire()));
    await consumer.handle(delivery(forged(signed())));
    expect(await notes()).toEqual(['placed 1']);
    expect(await lab.count('parked_delivery')).toBe(1);
  });

  it('is missed where signed messages come and nobody asks', async () => {
    const log = rememberingLogger();
    const counted: string[] = [];
    const metrics = countingMetrics('holdfast_consumer_signatures_total', counted);
    const consumer = lab.make({ handlers, log, metrics });
    for (const sent of [wire(), signed(), signed()]) await consumer.handle(delivery(sent));
    expect(await notes()).toHaveLength(3);
    expect(counted).toEqual(['unasked', 'unasked']);
    expect(log.lines.filter(({ message }) => message.includes('no signatures are asked for'))).toHaveLength(1);
  });

  it('refuses keys that are none', () => {
    expect(() => shipping({ signatures: { keys: {} } })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    const strange = { keys: { k1: SECRET }, require: true };
    expect(() => shipping({ signatures: strange })).toThrow(expect.objectContaining({ code: 'HF_OPTION_UNKNOWN' }));
  });

  it.each([{ maxParked: 0 }, { maxParkedBytes: 1.5 }, { whenFull: 'lose' as 'drop' }])('refuses %o', (limits) => {
    const signatures = { keys: { k1: SECRET }, ...limits };
    expect(() => shipping({ signatures })).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  });
});

describe('more refused messages than are parked', () => {
  const k2 = createSigner({ keys: { k2: OTHER } }, 'sign');
  const limited = (limits: Partial<SignaturesOptions>, options: Partial<Made> = {}) =>
    shipping({ signatures: { keys: { k1: SECRET }, ...limits }, ...options });
  const verdicts = async (consumer: Consumer, sent: readonly { readonly text: string }[]) => {
    const kinds: string[] = [];
    for (const each of sent) kinds.push((await consumer.handle(delivery(each))).kind);
    return kinds;
  };

  it('stay in the broker, those of two processes alike, while true ones are handled', async () => {
    const log = rememberingLogger();
    const one = limited({ maxParked: 2 }, { log });
    const other = limited({ maxParked: 2 });
    expect(await verdicts(one, [wire()])).toEqual(['done']);
    expect(await verdicts(other, [wire(), wire()])).toEqual(['done', 'later']);
    expect(await verdicts(one, [wire(), wire(), signed()])).toEqual(['later', 'later', 'done']);
    expect(await one.handle(delivery(wire()))).toMatchObject({ kind: 'later', delayMs: expect.closeTo(60_000, -3) });
    expect(await lab.count('parked_delivery')).toBe(2);
    expect(await lab.count('inbox')).toBe(3);
    expect(await notes()).toEqual(['placed 1']);
    expect(log.lines.filter(({ message }) => message.includes('stay in the broker'))).toHaveLength(1);
  });

  it('are parked once there is room', async () => {
    const clock = manualClock();
    const consumer = limited({ maxParked: 1 }, { clock });
    const second = wire();
    expect(await verdicts(consumer, [wire(), second])).toEqual(['done', 'later']);
    await lab.test.pool.query('DELETE FROM holdfast.parked_delivery');
    await clock.advance('1m');
    expect(await verdicts(consumer, [second])).toEqual(['done']);
    expect(await lab.count('parked_delivery')).toBe(1);
  });

  it('are parked up to so many bytes', async () => {
    const small = limited({ maxParkedBytes: 1_000 });
    expect(await verdicts(small, [wire({ data: { orderId: 'x'.repeat(2_000), n: 1 } })])).toEqual(['later']);
    expect(await verdicts(small, [wire(), wire(), wire(), wire()])).toContain('later');
    const { rows } = await lab.test.pool.query<{ bytes: number }>(
      'SELECT sum(pg_column_size(envelope))::int AS bytes FROM holdfast.parked_delivery',
    );
    expect(rows[0]?.bytes).toBeGreaterThan(300);
    expect(rows[0]?.bytes).toBeLessThanOrEqual(1_000);
  });

  it('are dropped where somebody says so, but for those that may be true', async () => {
    const counted: string[] = [];
    const consumer = limited({ maxParked: 1, whenFull: 'drop' }, { metrics: countingMetrics(MESSAGES, counted) });
    await consumer.handle(delivery(wire()));
    const old = signed({}, { nowMs: Date.now() - 14 * 86_400_000 });
    const moved = signed({}, { destination: 'billing' });
    const forgedOnes = [wire(), forged(signed()), moved];
    expect(await verdicts(consumer, [...forgedOnes, signed({}, { signer: k2 }), old])).toEqual([
      'done',
      'done',
      'done',
      'later',
      'later',
    ]);
    expect(counted).toEqual(['parked', 'dropped', 'dropped', 'dropped', 'later', 'later']);
    expect(await lab.effects()).toEqual([]);
  });

  it('hold up others of an ordered queue for a moment at a time', async () => {
    const consumer = limited({ maxParked: 1 }, { ordered: true });
    await consumer.handle(delivery(wire()));
    expect(await consumer.handle(delivery(wire()))).toEqual({ kind: 'later', delayMs: expect.closeTo(500, -1) });
  });
});

describe('a parked one', () => {
  const retry = () => retryParkedDeliveries(lab.database, 'shipping', { all: true }, me);

  it('stays parked when a person retries it and it is still not accepted', async () => {
    const consumer = shipping();
    await consumer.handle(delivery(wire()));
    await retry();
    await consumer.tickParked();
    expect(await lab.effects()).toEqual([]);
    expect(await lab.parked()).toMatchObject([{ reason: 'its signature is not accepted', next_attempt_at: null }]);
  });

  it('is told of by the doctor', async () => {
    const told = async () => (await doctor(lab.database)).findings.filter(({ check }) => check === 'flow.signatures');
    expect(await told()).toEqual([]);
    await shipping().handle(delivery(wire()));
    expect(await told()).toMatchObject([
      { level: 'warn', what: expect.stringMatching(/shipping has 1 parked .*order.placed/) },
    ]);
  });

  it('is handled by itself once its key is known, under its own id and key', async () => {
    const k2 = createSigner({ keys: { k2: OTHER } }, 'sign');
    const sent = signed({ key: 'o-1', data: { orderId: 'o-1', n: 7 } }, { signer: k2 });
    await shipping({ ordered: true }).handle(delivery(sent));
    const [row] = await lab.parked();
    expect(row?.next_attempt_at).toBeInstanceOf(Date);
    await lab.test.pool.query('UPDATE holdfast.parked_delivery SET next_attempt_at = now()');
    const newer = shipping({ ordered: true, signatures: { keys: { k1: SECRET, k2: OTHER } } });
    await newer.tickParked();
    await newer.handle(delivery(sent));
    expect(await lab.effects()).toEqual([{ id: sent.id, note: 'placed 7' }]);
    expect(await lab.parked()).toEqual([]);
  });

  it('has no second effect when the message came again before', async () => {
    const k2 = createSigner({ keys: { k2: OTHER } }, 'sign');
    const id = '0197a3c2-5b20-7e01-8a2f-6f1d7a0c9e11';
    await shipping().handle(delivery(signed({ id }, { signer: k2 })));
    const newer = shipping({ signatures: { keys: { k1: SECRET, k2: OTHER } } });
    await newer.handle(delivery(signed({ id })));
    await retry();
    await newer.tickParked();
    expect(await lab.effects()).toEqual([{ id, note: 'placed 1' }]);
    expect(await lab.parked()).toEqual([]);
  });

  it('that was only too old is handled when a person says so', async () => {
    const consumer = shipping();
    await consumer.handle(delivery(signed({}, { nowMs: Date.now() - 14 * 86_400_000 })));
    await retry();
    await consumer.tickParked();
    expect(await notes()).toEqual(['placed 1']);
  });

  it('shows what it says, and can be put right by a person', async () => {
    const consumer = shipping();
    await consumer.handle(delivery(wire({ key: 'o-1' })));
    const [found] = await listParked(lab.database, { kind: 'consumer' });
    expect(found).toMatchObject({ topic: 'order.placed', key: null });
    const selection = { consumer: 'shipping', id: found?.id ?? '' };
    expect(await showParked(lab.database, selection.id)).toMatchObject([{ data: { orderId: 'o-1', n: 1 } }]);
    await reviseParked(lab.database, selection, { payload: { orderId: 'o-1', n: 3 } }, me);
    await consumer.tickParked();
    expect(await notes()).toEqual(['placed 3']);
  });
});

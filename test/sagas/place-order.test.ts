/** The order saga in memory: payment, stock and shipping scripted, and a shop whose money and goods must add up whatever happens. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Rejection } from '../../src/index.ts';
import { everyCrashPoint, lost, respond, silence, testSagas, type CrashTry } from '../../src/testing/index.ts';
import { ChargePayment, RefundPayment, ReleaseStock, ReserveStock, ShipOrder } from '../../sagas/messages/order.ts';
import { placeOrder } from '../../sagas/place-order.ts';

const order = { orderId: 'o-1', customer: 'ada', amount: 4_200, sku: 'chair', quantity: 2 };

/** What the three services have done, as sums. */
let charged = 0;
let reserved = 0;
let shipped = 0;
const prepare = (): void => {
  charged = reserved = shipped = 0;
};
beforeEach(prepare);

const charge = respond(ChargePayment, ({ amount }) => {
  charged += amount;
  return { paymentId: 'p-1' };
});
const refund = respond(RefundPayment, ({ amount }) => void (charged -= amount));
const reserve = respond(ReserveStock, ({ quantity }) => {
  reserved += quantity;
  return { reservationId: 'r-1' };
});
const release = respond(ReleaseStock, ({ quantity }) => void (reserved -= quantity));
const ship = respond(ShipOrder, ({ quantity }) => {
  shipped += quantity;
  return { parcel: 'x-1' };
});
const participants = [charge, refund, reserve, release, ship];

/** The services, with one of them answering otherwise. */
const shop = (...other: (typeof participants)[number][]) =>
  testSagas({ sagas: [placeOrder], participants: [...participants, ...other] });
const topics = (test: ReturnType<typeof shop>) => test.messages.map(({ topic }) => topic);

describe('an order', () => {
  it('is paid, reserved, shipped and confirmed', async () => {
    const test = shop();
    const run = await test.start(placeOrder, order);
    expect(await run.result()).toEqual({ paymentId: 'p-1', parcel: 'x-1' });
    expect([charged, reserved, shipped]).toEqual([4_200, 2, 2]);
    expect(test.messages.at(-1)).toMatchObject({
      topic: 'order.confirmed',
      key: 'o-1',
      payload: { orderId: 'o-1', paymentId: 'p-1', parcel: 'x-1' },
    });
  });

  it.each(['charge', 'reserve', 'ship'])('that is refused at %s is taken back and rejected', async (step) => {
    const test = shop();
    test.failStep(step, new Rejection('sorry'));
    const run = await test.start(placeOrder, order);
    await expect(run.result()).rejects.toMatchObject({
      code: 'HF_SAGA_UNDONE',
      details: { reason: 'failed' },
      cause: { details: { reason: 'sorry' } },
    });
    expect([charged, reserved, shipped]).toEqual([0, 0, 0]);
    expect(topics(test).at(-1)).toBe('order.rejected');
  });

  it('whose payment service is silent is asked three times, and a charge that comes late is refused', async () => {
    const test = shop();
    const deliver = test.hold('payment.charge');
    const run = await test.start(placeOrder, order);
    await test.advance('14s');
    expect((await run.status()).status).toBe('waiting');
    await test.advance('1s');
    expect(topics(test).filter((topic) => topic === 'payment.charge')).toHaveLength(3);
    expect((await run.status()).status).toBe('compensated');
    await deliver();
    expect([charged, reserved]).toEqual([0, 0]);
  });

  it('whose payment takes five minutes is refunded when it has come', async () => {
    const slow = respond(ChargePayment, async ({ amount }) => {
      await test.sleep('5m');
      charged += amount;
      return { paymentId: 'p-1' };
    });
    const test = shop(slow);
    const run = await test.start(placeOrder, order);
    await test.advance('4m');
    expect((await run.status()).status).toBe('compensating');
    await test.advance('1m');
    expect((await run.status()).status).toBe('compensated');
    expect([charged, test.story]).toEqual([0, ['reserve', 'compensate reserve', 'charge', 'compensate charge']]);
  });

  it('whose answers get lost is done once', async () => {
    const test = shop(
      respond(ReserveStock, ({ quantity }) => ((reserved += quantity), lost({ reservationId: 'r-1' }))),
    );
    const run = await test.start(placeOrder, order);
    await test.advance('5s');
    expect((await run.status()).status).toBe('completed');
    expect(reserved).toBe(2);
  });

  it.each([
    ['payment', [respond(ChargePayment, silence)]],
    ['stock', [respond(ReserveStock, silence)]],
  ])('is cancelled while it waits for %s', async (_, other) => {
    const test = shop(...other);
    const run = await test.start(placeOrder, order);
    await run.cancel({ reason: 'changed my mind' });
    await expect(run.result()).rejects.toMatchObject({ details: { reason: 'cancelled' } });
    expect([charged, reserved]).toEqual([0, 0]);
  });

  it('that is being shipped is cancelled only if that comes to nothing', async () => {
    const test = shop(respond(ShipOrder, (_, { attempt }) => (attempt < 3 ? silence() : { parcel: 'x-1' })));
    const run = await test.start(placeOrder, order);
    await run.cancel();
    expect((await run.status()).status).toBe('waiting');
    await test.finish();
    expect(await run.result()).toMatchObject({ parcel: 'x-1' });
    expect((await run.history()).find(({ t }) => t === 'refused')).toMatchObject({ what: 'cancel' });
  });

  it('that cannot be shipped in time is compensated once that is certain', async () => {
    const test = shop(respond(ShipOrder, silence));
    const run = await test.start(placeOrder, order);
    test.failStep('ship', new Rejection('no van'), { nth: 2 });
    await test.advance('14m');
    expect((await run.status()).status).toBe('compensated');

    const away = shop(respond(ShipOrder, (_, { attempt }) => (attempt < 20 ? silence() : { parcel: 'x-2' })));
    const late = await away.start(placeOrder, order);
    await away.advance('15m');
    expect((await late.status()).status).toBe('waiting');
    await away.finish();
    expect((await late.status()).status).toBe('completed');
  });

  it('whose parcel nobody knows about for a week is a case for a person', async () => {
    const test = shop(respond(ShipOrder, silence));
    const run = await test.start(placeOrder, order);
    await test.finish();
    await expect(run.result()).rejects.toMatchObject({ code: 'HF_SAGA_STUCK', details: { call: 'ship' } });
    expect([charged, reserved]).toEqual([4_200, 2]);
  });
});

describe('an order whose worker dies, wherever that is', () => {
  const allOrNothing = ({ status }: CrashTry): void =>
    expect([charged, reserved, shipped]).toEqual(status === 'completed' ? [4_200, 2, 2] : [0, 0, 0]);
  const common = { participants, prepare, secondCrash: 10 };

  it('is placed', async () => {
    const report = await everyCrashPoint(placeOrder, order, allOrNothing, common);
    expect(report.statuses).toEqual({ completed: report.tries });
  });

  it.each(['charge', 'reserve', 'ship'])('is compensated when %s is refused', async (step) => {
    const options = { ...common, failStep: { [step]: new Rejection('sorry') } };
    const report = await everyCrashPoint(placeOrder, order, allOrNothing, options);
    expect(report.statuses).toEqual({ compensated: report.tries });
  });

  it('is compensated when payment is silent', async () => {
    const report = await everyCrashPoint(placeOrder, order, allOrNothing, { ...common, failStep: { charge: 'hang' } });
    expect(report.statuses).toEqual({ compensated: report.tries });
  });

  it('is compensated when it is cancelled', async () => {
    const options = {
      ...common,
      failStep: { reserve: 'hang' as const },
      drive: (_: unknown, run: { cancel(): Promise<unknown> }) => run.cancel(),
    };
    const report = await everyCrashPoint(placeOrder, order, allOrNothing, options);
    expect(report.statuses).toEqual({ compensated: report.tries });
  });
});

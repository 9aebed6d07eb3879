/** The trip in memory: three agencies of which each can be full, slow or away, and no booking may be left over. */
import { beforeEach, describe, expect, it } from 'vitest';
import { Rejection } from '../../src/index.ts';
import { everyCrashPoint, testSagas, type CrashTry } from '../../src/testing/index.ts';
import { bookTrip, type Agency, type Booking } from '../../sagas/book-trip.ts';

const trip = { tripId: 't-1', from: 'Bern', to: 'Oslo', day: '2026-05-04', nights: 3 };

/** Bookings that stand, and how often agencies were asked to cancel. */
const booked = new Map<string, Booking>();
let cancellations = 0;
const prepare = (): void => {
  booked.clear();
  cancellations = 0;
};
beforeEach(prepare);

function agency(kind: 'flight' | 'hotel' | 'car'): Agency<{ readonly tripId: string }> {
  const placeOf = (tripId: string): string => `${kind} of ${tripId}`;
  return {
    async book({ tripId }) {
      const booking = { kind, reference: `${kind}-1` };
      booked.set(placeOf(tripId), booking);
      return booking;
    },
    async cancel(tripId) {
      cancellations += 1;
      booked.delete(placeOf(tripId));
    },
    find: async (tripId) => booked.get(placeOf(tripId)) ?? null,
  };
}

const saga = bookTrip({ flights: agency('flight'), hotels: agency('hotel'), cars: agency('car') });
const office = () => testSagas({ sagas: [saga] });

describe('a trip', () => {
  it('is booked in parallel', async () => {
    const run = await office().start(saga, trip);
    expect(await run.result()).toEqual({
      flight: 'flight-1',
      hotel: 'hotel-1',
      onward: { kind: 'car', reference: 'car-1' },
    });
    expect([...booked.keys()]).toEqual(['flight of t-1', 'hotel of t-1', 'car of t-1']);
  });

  it('without a car is made by train, and the car that may have been booked is cancelled', async () => {
    const test = office();
    test.failStep('car', new Error('timeout of the gateway'), { times: Infinity, after: true });
    const run = await test.start(saga, trip);
    await test.finish();
    expect(await run.result()).toMatchObject({ onward: { kind: 'train voucher' } });
    expect([...booked.keys()]).toEqual(['flight of t-1', 'hotel of t-1']);
  });

  it('without a hotel is cancelled, the last booking first', async () => {
    const test = office();
    test.failStep('hotel', new Rejection('full'));
    const run = await test.start(saga, trip);
    await expect(run.result()).rejects.toMatchObject({
      code: 'HF_SAGA_UNDONE',
      cause: { details: { reason: 'full' } },
    });
    expect(test.story).toEqual(['flight', 'car', 'compensate car', 'compensate flight']);
    expect(booked.size).toBe(0);
  });

  it('whose flight is in doubt is asked for before it is cancelled', async () => {
    const test = office();
    test.failStep('flight', new Error('connection reset'), { times: Infinity, after: true });
    const run = await test.start(saga, trip);
    await test.finish();
    expect(await run.history()).toContainEqual(
      expect.objectContaining({ t: 'verified', call: 'flight', outcome: 'done' }),
    );
    expect([booked.size, (await run.status()).status]).toEqual([0, 'compensated']);

    prepare();
    const away = office();
    away.failStep('flight', new Error('connection refused'), { times: Infinity });
    const other = await away.start(saga, trip);
    await away.finish();
    expect(await other.history()).toContainEqual({ t: 'verified', call: 'flight', outcome: 'not done' });
    expect([away.story.includes('compensate flight'), cancellations]).toEqual([false, 2]);
  });

  it('can be cancelled while agencies are slow', async () => {
    const test = office();
    test.failStep('hotel', 'hang');
    const run = await test.start(saga, trip);
    await run.cancel();
    // The request that is under way is given a second to end; then it is in doubt, and cancelled too.
    await test.advance('1s');
    expect((await run.status()).reason).toBe('cancelled');
    expect(test.story.slice(2)).toEqual(['compensate car', 'compensate hotel', 'compensate flight']);
    expect(booked.size).toBe(0);
  });

  it('takes an hour at most', async () => {
    const test = office();
    const run = await test.start(saga, trip, { deadline: '30s' });
    test.failStep('hotel', 'hang', { times: Infinity });
    expect((await run.status()).status).toBe('completed');

    const slow = office();
    slow.failStep('hotel', 'hang', { times: Infinity });
    const late = await slow.start(saga, trip, { deadline: '30s' });
    // With time to compensate what was booked.
    await slow.advance('32s');
    expect(await late.status()).toMatchObject({ status: 'compensated', reason: 'timed out' });
  });
});

describe('a trip whose worker dies, wherever that is', () => {
  const allOrNothing = ({ status }: CrashTry): void => expect(booked.size).toBe(status === 'completed' ? 3 : 0);
  const options = { prepare, secondCrash: 15 };

  it('is booked', async () => {
    // Two lost attempts are all that a car gets; then there is a train.
    const check = ({ status, result }: CrashTry<typeof saga>): void => {
      expect([status, booked.size]).toEqual(['completed', result?.onward.kind === 'car' ? 3 : 2]);
    };
    await everyCrashPoint(saga, trip, check, options);
  });

  it.each([
    ['refuses', new Rejection('full')],
    ['hangs', 'hang' as const],
  ])('is compensated when the hotel %s', async (_, failure) => {
    const report = await everyCrashPoint(saga, trip, allOrNothing, { ...options, failStep: { hotel: failure } });
    expect(report.statuses).toEqual({ compensated: report.tries });
  });
});

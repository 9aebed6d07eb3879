/**
 * A trip: flight, hotel and car at the same time, from three agencies with an HTTP interface. All or none, but a train will do for
 * the car.
 *
 * Shows: local steps in parallel, idempotency keys, a breaker, `verify` for a step in doubt, and a fallback.
 *
 * - If the hotel refuses late, flight and car have long been booked: they are cancelled, the last one begun first.
 * - A request without an answer may have been carried out. So bookings are made under the trip's own number, which is known before
 *   they are made, and cancelled by it; each agency must bear a cancellation of what was never booked.
 * - `bookTrip` is a function, because the agencies are given from outside: `createWorker({ sagas: [bookTrip(agencies)], … })`.
 */
import { z } from 'zod';
// In a service of your own these come from 'holdfast'.
import { saga, step, type Saga } from '../src/index.ts';

/** The client of an agency. `book` throws `Rejection` when it has nothing left; any other error leaves open what has happened. */
export interface Agency<Wish> {
  book(
    pendingCompensation: Wish,
    options: { readonly idempotencyKey: string; readonly signal: AbortSignal },
  ): Promise<Booking>;
  cancel(tripId: string, options: { readonly idempotencyKey: string; readonly signal: AbortSignal }): Promise<void>;
  find(tripId: string, options: { readonly signal: AbortSignal }): Promise<Booking | null>;
}

export interface Agencies {
  readonly flights: Agency<Flight>;
  readonly hotels: Agency<Stay>;
  readonly cars: Agency<Stay>;
}

export interface Booking {
  readonly kind: 'flight' | 'hotel' | 'car' | 'train voucher';
  readonly reference: string;
}

const Trip = z.object({
  tripId: z.string(),
  from: z.string(),
  to: z.string(),
  day: z.iso.date(),
  nights: z.int().positive(),
});
export type Flight = Pick<z.infer<typeof Trip>, 'tripId' | 'from' | 'to' | 'day'>;
export type Stay = Pick<z.infer<typeof Trip>, 'tripId' | 'to' | 'day' | 'nights'>;

export interface BookedTrip {
  readonly flight: string;
  readonly hotel: string;
  readonly onward: Booking;
}

export function bookTrip({ flights, hotels, cars }: Agencies): Saga<z.input<typeof Trip>, BookedTrip> {
  return saga({
    name: 'book-trip',
    input: Trip,
    deadline: '1h',
    steps: {
      flight: step({
        run: (pendingCompensation: Flight, context) => flights.book(pendingCompensation, context),
        // Cancelling costs a fee, so it is asked first whether there is anything to cancel.
        verify: async ({ tripId }, context) => {
          const found = await flights.find(tripId, context);
          return found === null ? { happened: false } : { happened: true, output: found };
        },
        compensate: ({ input }, context) => flights.cancel(input.tripId, context),
        breaker: 'flights',
        timeout: '20s',
      }),
      hotel: step({
        run: (pendingCompensation: Stay, context) => hotels.book(pendingCompensation, context),
        compensate: ({ input }, context) => hotels.cancel(input.tripId, context),
        breaker: 'hotels',
        timeout: '20s',
        retry: { attempts: 8, within: '10m' },
      }),
      car: step({
        run: (pendingCompensation: Stay, context) => cars.book(pendingCompensation, context),
        compensate: ({ input }, context) => cars.cancel(input.tripId, context),
        // Recorded as degraded. A car whose booking is in doubt is cancelled all the same, at the latest when the run ends.
        fallback: ({ tripId }): Booking => ({ kind: 'train voucher', reference: `train-${tripId}` }),
        breaker: 'cars',
        timeout: '10s',
        retry: { attempts: 2 },
      }),
    },
    async run({ input, steps }) {
      const { tripId, from, to, day, nights } = input;
      const [flight, hotel, car] = await Promise.all([
        steps.flight({ tripId, from, to, day }),
        steps.hotel({ tripId, to, day, nights }),
        steps.car({ tripId, to, day, nights }),
      ]);
      return { flight: flight.reference, hotel: hotel.reference, onward: car };
    },
  });
}

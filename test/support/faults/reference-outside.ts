/**
 * The third parties of the reference sagas: three travel agencies and a mail server, with nothing but a file for a memory. The file is
 * the ledger of what was done outside: no rollback reaches it, and it outlives the worker that asked.
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { Rejection } from '../../../src/errors.ts';
import { turn } from '../../../src/saga/replay/turn.ts';
import type { Mailer } from '../../../sagas/approve-expense.ts';
import type { Agencies, Agency, Booking } from '../../../sagas/book-trip.ts';

export interface OutsideNote {
  readonly what: 'done' | 'compensated';
  /** The idempotency key. */
  readonly key: string;
  /** What it is about: `flight of t-1`, or the mail. */
  readonly of: string;
}

export interface ReferenceOutside {
  readonly agencies: Agencies;
  readonly mailer: Mailer;
  /** In the order in which it happened. */
  notes(): readonly OutsideNote[];
  close(): void;
}

/** Trips to a place with this in its name find every hotel full. */
export const FULL = 'Full';
/** Flights to a place with this in its name are booked, and the answer never comes. */
export const SILENT = 'Silent';

export function openReferenceOutside(path: string): ReferenceOutside {
  const file = openSync(path, 'a');
  // Noted in the call itself: a request that was sent has arrived, whatever becomes of the one who sent it.
  const note = (entry: OutsideNote): void => void writeSync(file, `${JSON.stringify(entry)}\n`);
  const notes = (): readonly OutsideNote[] => {
    const lines = readFileSync(path, 'utf8').split('\n');
    lines.pop();
    return lines.map((line) => JSON.parse(line) as OutsideNote);
  };

  function agency<Wish extends { readonly tripId: string; readonly to: string }>(
    kind: 'flight' | 'hotel' | 'car',
  ): Agency<Wish> {
    const placeOf = (tripId: string): string => `${kind} of ${tripId}`;
    const booking: Booking = { kind, reference: `${kind}-1` };
    return {
      async book({ tripId, to }, { idempotencyKey, signal }) {
        if (kind === 'hotel' && to.includes(FULL)) throw new Rejection('full');
        note({ what: 'done', key: idempotencyKey, of: placeOf(tripId) });
        await (kind === 'flight' && to.includes(SILENT) ? untilAborted(signal) : turn());
        return booking;
      },
      async cancel(tripId, { idempotencyKey }) {
        note({ what: 'compensated', key: idempotencyKey, of: placeOf(tripId) });
        await turn();
      },
      find: async (tripId) => (standing(notes()).has(placeOf(tripId)) ? booking : null),
    };
  }

  return {
    agencies: { flights: agency('flight'), hotels: agency('hotel'), cars: agency('car') },
    mailer: {
      async send({ to, subject }, { idempotencyKey }) {
        note({ what: 'done', key: idempotencyKey, of: `${to}: ${subject}` });
        await turn();
      },
    },
    notes,
    close: () => closeSync(file),
  };
}

/** What was done and not compensated after it. */
export function standing(notes: readonly OutsideNote[]): ReadonlySet<string> {
  const left = new Set<string>();
  for (const { what, of } of notes) {
    if (what === 'done') left.add(of);
    else left.delete(of);
  }
  return left;
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

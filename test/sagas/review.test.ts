/** The reference sagas are as their readers should write them: nothing is to be remarked about them at start-up. */
import { describe, expect, it } from 'vitest';
import { approveExpense } from '../../sagas/approve-expense.ts';
import { bookTrip, type Agencies } from '../../sagas/book-trip.ts';
import { placeOrder } from '../../sagas/place-order.ts';
import { transferMoney } from '../../sagas/transfer-money.ts';
import { createRegistry } from '../../src/saga/definition/definition.ts';
import { reviewSaga } from '../../src/saga/kinds/review.ts';

const nobody = { book: fail, cancel: fail, find: fail };
const agencies: Agencies = { flights: nobody, hotels: nobody, cars: nobody };

async function fail(): Promise<never> {
  throw new Error('Nobody is there.');
}

describe('the reference sagas', () => {
  const sagas = [placeOrder, transferMoney, bookTrip(agencies), approveExpense({ send: fail })];

  it('can be registered together', () => {
    expect(createRegistry(sagas, 'test').all).toHaveLength(4);
  });

  it.each(sagas.map((saga) => [saga.name, saga] as const))('%s leaves nothing to be remarked', (_, saga) => {
    expect(reviewSaga(saga)).toEqual([]);
  });
});

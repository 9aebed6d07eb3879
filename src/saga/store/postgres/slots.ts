/**
 * So many at a time, the others in the order in which they came. Keeps the transaction steps of a worker from taking all connections
 * of the pool, on which its lease is prolonged as well. Used by the store of workers.
 */
export type Slots = <T>(act: () => Promise<T>) => Promise<T>;

export function createSlots(most: number): Slots {
  const waiting: (() => void)[] = [];
  let taken = 0;

  return async (act) => {
    // A slot that becomes free is handed to the first that waits; nobody who comes later gets in between.
    if (taken < most) taken += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await act();
    } finally {
      const next = waiting.shift();
      if (next === undefined) taken -= 1;
      else next();
    }
  };
}

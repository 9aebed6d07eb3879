/**
 * Transactions that their client leaves when the connection breaks, as those of postgres.js. When the function that it was given rejects
 * after that, postgres.js still sends a ROLLBACK, by a socket that is gone: this throws where nobody can catch it, and ends the process.
 * So for a client that has left, the function is never over; nobody waits for it any more.
 */

/** `open`: opens a transaction and runs the function in it. */
export async function unlessLeft<Tx, T>(
  open: (fn: (tx: Tx) => Promise<T>) => Promise<T>,
  fn: (tx: Tx) => Promise<T>,
): Promise<T> {
  let hasLeft = false;
  try {
    return await open(async (tx) => {
      try {
        return await fn(tx);
      } catch (error) {
        // It leaves in the turn in which the statement under way is told.
        await new Promise((resolve) => setImmediate(resolve));
        if (hasLeft) return new Promise<never>(() => {});
        throw error;
      }
    });
  } catch (error) {
    hasLeft = true;
    throw error;
  }
}

/**
 * A client lent to a handler for as long as it runs. What the handler leaves running behind it (the other branches of a Promise.all
 * that rejected, a call it forgot to await) would else write on the bare connection, or into the transaction of whichever message
 * has that connection next. Used by postgres-work.ts.
 */
import type { PoolClient } from 'pg';
import { HoldfastError, PermanentError } from '../errors.ts';

export interface LentClient {
  readonly tx: PoolClient;
  /** From now on every query through `tx` rejects with HF_NOT_IN_TRANSACTION. Queries sent before are not affected. */
  takeBack(): void;
}

export function lend(client: PoolClient): LentClient {
  let over = false;
  const query = (...given: unknown[]): unknown => {
    if (over) return Promise.reject(tooLate());
    return (client.query as (...all: unknown[]) => unknown).apply(client, given);
  };
  const tx = new Proxy(client, {
    get(target, property) {
      if (property === 'query') return query;
      if (property === 'release') return refuseRelease;
      return Reflect.get(target, property, target) as unknown;
    },
  });
  return {
    tx,
    takeBack() {
      over = true;
    },
  };
}

function refuseRelease(): never {
  throw new PermanentError('The handler released the connection that Holdfast had opened for it.', {
    advice: 'Leave tx to Holdfast.',
  });
}

function tooLate(): HoldfastError {
  return new HoldfastError('HF_NOT_IN_TRANSACTION', 'The handler is over, and its transaction with it.', {
    advice: 'Await all that uses tx before the handler ends; when a Promise.all rejects, its other branches go on.',
  });
}

/**
 * A connection that several parts of a process write on: its statements wait for each other here, and not in the driver, which
 * deprecates that.
 */
import type pg from 'pg';

/**
 * The same client. Each of its statements is sent when the one before has been answered, well or badly; what is begun in one
 * part of the process is not kept together.
 */
export function inTurn<C extends pg.ClientBase>(client: C): C {
  const send = client.query.bind(client) as (...statement: unknown[]) => Promise<unknown>;
  let last: Promise<unknown> = Promise.resolve();
  const query = async (...statement: unknown[]): Promise<unknown> => {
    const answer = last.then(() => send(...statement));
    last = answer.catch(() => undefined);
    return answer;
  };
  return Object.assign(client, { query });
}

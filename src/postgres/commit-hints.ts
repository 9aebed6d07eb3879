/**
 * Hints within one process: who has committed messages tells the relays of the same database, without the server and without a
 * poll. A hint that is lost costs the wait for the next poll, and one too many costs a poll; nothing else depends on it. So it does no
 * harm that a database known by two names counts as two.
 */
import pg from 'pg';
import { isPgClient } from './lent-client.ts';

/** Where a hint belongs. */
interface Place {
  readonly pool: pg.Pool;
  readonly schema: string;
}

const listeners = new Map<string, Set<() => void>>();
const names = new WeakMap<pg.Pool, string>();

/** Until the function that it returns is called. The listener must not throw. */
export function onCommitHint(place: Place, listener: () => void): () => void {
  const key = keyOf(place);
  const all = listeners.get(key) ?? new Set();
  listeners.set(key, all);
  all.add(listener);
  return () => {
    all.delete(listener);
    if (all.size === 0 && listeners.get(key) === all) listeners.delete(key);
  };
}

/** Call it after the commit: who is told looks at once. */
export function hintCommit(place: Place): void {
  if (listeners.size === 0) return;
  for (const listener of listeners.get(keyOf(place)) ?? []) listener();
}

const WROTE = Symbol('messages written in the transaction of this client');
/** Handles of ORMs, on which nothing is to be set. */
const wrote = new WeakSet<object>();

/** Messages were written through this client, which may be a lent one, or through this transaction of an ORM. */
export function noteMessages(tx: unknown): void {
  if (listeners.size === 0) return;
  if (isPgClient(tx)) Reflect.set(tx, WROTE, true);
  else if ((typeof tx === 'object' && tx !== null) || typeof tx === 'function') wrote.add(tx);
}

/** Whether messages were written through the client since it was asked last: at the end of each transaction. */
export function takeNoted(client: object): boolean {
  if (wrote.delete(client)) return true;
  if (Reflect.get(client, WROTE) !== true) return false;
  Reflect.set(client, WROTE, false);
  return true;
}

function keyOf({ pool, schema }: Place): string {
  let name = names.get(pool);
  if (name === undefined) {
    // Not connected, and never will be: it reads the options, the URL among them, and the environment, as connections do.
    const { host, port, database } = new pg.Client(pool.options);
    name = `${host}:${port}/${database ?? ''}`;
    names.set(pool, name);
  }
  return `${name} ${schema}`;
}

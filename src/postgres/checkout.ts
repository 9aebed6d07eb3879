/**
 * Taking connections from a pool and giving them back. When one of them has fallen silent, so have most likely all that lie idle beside
 * it (a firewall that forgot them, a host that is gone): they are replaced, instead of being found out about one time limit after the
 * other.
 */
import type pg from 'pg';

/** By monotonic clock. */
const silenceAtMs = new WeakMap<pg.Pool, number>();
const answeredAtMs = new WeakMap<pg.PoolClient, number>();

/** A connection that was made, or has answered, since the last silence on this pool. */
export async function takeConnection(pool: pg.Pool): Promise<pg.PoolClient> {
  for (;;) {
    const client = await pool.connect();
    const answered = answeredAtMs.get(client);
    if (answered === undefined || answered >= (silenceAtMs.get(pool) ?? -Infinity)) return client;
    client.release(true);
  }
}

/** `destroy`: it must not serve anybody else. Otherwise it has just answered. */
export function giveBack(client: pg.PoolClient, destroy: boolean): void {
  if (!destroy) answeredAtMs.set(client, performance.now());
  client.release(destroy);
}

/** So long after an answer a connection is trusted to be there, in milliseconds. */
const TRUSTED_MS = 5_000;

/** Whether the connection was made, or has answered, a moment ago. One that lay idle may have fallen silent, and is asked first. */
export function hasJustAnswered(client: pg.PoolClient): boolean {
  const answered = answeredAtMs.get(client);
  return answered === undefined || performance.now() - answered < TRUSTED_MS;
}

/** An answer did not come in time. */
export function noteSilence(pool: pg.Pool): void {
  silenceAtMs.set(pool, performance.now());
}

/** Cuts the connection when `act` takes longer: what was sent on it rejects then, and it serves nobody else. */
export async function cutAfter<T>(
  { pool, client }: { readonly pool: pg.Pool; readonly client: pg.ClientBase },
  timeoutMs: number | undefined,
  act: () => Promise<T>,
): Promise<T> {
  if (timeoutMs === undefined) return act();
  const cut = setTimeout(() => {
    noteSilence(pool);
    destroySocket(client);
  }, timeoutMs);
  return act().finally(() => clearTimeout(cut));
}

/** The driver has no other way to leave a peer that does not answer. */
export function destroySocket(client: pg.ClientBase): void {
  const { connection } = client as unknown as { readonly connection?: { readonly stream?: { destroy(): void } } };
  connection?.stream?.destroy();
}

/**
 * The clients of a receiver, those among them that BullMQ makes, kept in hand: so that silence on one is found out, and all can be ended.
 */
import type { Redis } from 'ioredis';
import { end, makeEndable } from '../redis/redis-end.ts';
import { silenceGuard } from './redis-silence.ts';

export class KeptClients {
  readonly #guards = new Map<Redis, () => void>();

  keep(client: Redis): Redis {
    const guard = silenceGuard(client);
    this.#guards.set(client, guard);
    // BullMQ connects one again that it has ended.
    client.on('connecting', () => void this.#guards.set(client, guard));
    client.on('end', () => void this.#guards.delete(client));
    // BullMQ makes each worker's blocking connection as a duplicate of this one. They are kept in hand so that end() reaches them.
    const duplicate = client.duplicate.bind(client);
    client.duplicate = (override) => {
      const copy = duplicate(override);
      copy.on('error', () => {});
      makeEndable(copy);
      return this.keep(copy);
    };
    return client;
  }

  cutSilent(): void {
    for (const look of this.#guards.values()) look();
  }

  end(): void {
    for (const client of this.#guards.keys()) end(client);
  }
}

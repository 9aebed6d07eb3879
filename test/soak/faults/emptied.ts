/**
 * Redis loses all that it has, and an operator has published again what may have been in it: from before the oldest message that was not handled.
 */
import { isHoldfastError, requestReplay } from '../../../src/index.ts';
import { SERVICE_NAMES } from '../../../demo/world.ts';
import { redisCommand } from '../../../src/servers/redis-command.ts';
import type { FaultKind } from './tools.ts';

const ACT = { actor: 'soak', reason: 'Redis was emptied' } as const;
/** Well within the time for which the outboxes keep their messages: an operator who comes too late cannot help. */
const MOST_MS = 150_000;
/** A message has the time of its writing, and is there with its commit: later by the longest transaction of a writer. */
const EARLIER_MS = 30_000;

export const REDIS_EMPTIED: FaultKind = {
  kind: 'Redis emptied, then a replay',
  side: 'servers',
  async strike({ redis, databases, settledMs, show }) {
    const { rows } = await databases.orders.query<{ ms: number | null }>(
      `SELECT extract(epoch FROM min(r.started_at))::float8 * 1000 AS ms FROM orders o JOIN holdfast.saga_run r ON r.id = o.run_id`,
    );
    const since = {
      flood: settledMs() - EARLIER_MS,
      orders: Math.min(rows[0]?.ms ?? Infinity, Date.now()) - EARLIER_MS,
    };
    const ageMs = Date.now() - Math.min(since.flood, since.orders);
    if (ageMs > MOST_MS) {
      const seconds = (ms: number): number => Math.round((Date.now() - ms) / 1_000);
      throw new Error(
        `what waits may not be in the outboxes any more: messages for ${seconds(since.flood)} s, orders for ${seconds(since.orders)} s`,
      );
    }
    show('Redis is empty');
    await redisCommand(redis.port, ['FLUSHALL']);
    for (const name of [...SERVICE_NAMES, 'flood' as const]) {
      const from = new Date(name === 'flood' ? since.flood : since.orders);
      await requestReplay(databases[name], { subscription: 'soak', since: from }, ACT).catch((error: unknown) => {
        if (!isHoldfastError(error, 'HF_NOT_FOUND')) throw error;
      });
    }
  },
};

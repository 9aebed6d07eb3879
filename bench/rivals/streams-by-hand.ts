/** Redis Streams by hand: pipelines of XADD, and a consumer group whose messages are acknowledged and deleted a read at a time. */
import { Redis } from 'ioredis';
import { IN_HAND, type Carrier } from '../support/carrier.ts';

const CHUNK = 500;
const GROUP = 'group';

/** By stream: entries with their id and their fields. */
type Read = readonly (readonly [string, readonly (readonly [string, readonly string[]])[]])[];

export async function streamsByHand(url: string, stream: string): Promise<Carrier> {
  const publisher = new Redis(url);
  await publisher.xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM');
  return {
    name: 'by-hand',
    async publish(batch) {
      for (let from = 0; from < batch.length; from += CHUNK) {
        const pipeline = publisher.pipeline();
        for (const { id, topic, key, wire } of batch.slice(from, from + CHUNK))
          pipeline.xadd(stream, '*', 'envelope', wire, 'topic', topic, 'id', id, 'key', key ?? '');
        await throwingExec(pipeline.exec());
      }
    },
    async consume(taken) {
      // Lists, as Redis answers, and no objects made of them.
      const consumer = new Redis(url, { replyMapping: 'legacy' });
      let isStopped = false;
      const reading = (async () => {
        while (!isStopped) {
          const found = (await consumer.xreadgroup(
            'GROUP',
            GROUP,
            'me',
            'COUNT',
            IN_HAND,
            'BLOCK',
            500,
            'STREAMS',
            stream,
            '>',
          )) as Read | null;
          const entries = found?.[0]?.[1] ?? [];
          const ids = entries.map(([id]) => id);
          if (ids.length === 0) continue;
          // The value of the first field.
          for (const [, fields] of entries) taken(fields[1]);
          await throwingExec(
            consumer
              .pipeline()
              .xack(stream, GROUP, ...ids)
              .xdel(stream, ...ids)
              .exec(),
          );
        }
      })();
      return async () => {
        isStopped = true;
        await reading;
        consumer.disconnect();
      };
    },
    left: () => publisher.xlen(stream),
    async close() {
      publisher.disconnect();
    },
  };
}

async function throwingExec(running: Promise<[Error | null, unknown][] | null>): Promise<void> {
  for (const [error] of (await running) ?? []) if (error !== null) throw error;
}

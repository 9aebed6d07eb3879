/**
 * Fences: messages of our own among those of a queue. Consumers acknowledge them and hand nothing out. Pure.
 */
import { randomUUID } from 'node:crypto';
import type { Outgoing } from './confirmed-channel.ts';
import { FENCE_HEADERS } from './delivery-facts.ts';

/** @param passing gone at once where no consumer waits for a message: to see whether the queue takes any */
export function fenceFor(queue: string, { passing = false }: { readonly passing?: boolean } = {}): Outgoing {
  return {
    queue,
    content: Buffer.alloc(0),
    properties: {
      persistent: true,
      mandatory: true,
      messageId: randomUUID(),
      headers: FENCE_HEADERS,
      ...(passing ? { expiration: '0' } : {}),
    },
  };
}

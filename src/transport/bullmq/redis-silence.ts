/**
 * Finds connections whose other end has fallen silent without breaking, as when its machine or the network is gone. TCP gives such a
 * connection up after a quarter of an hour, and until then a receiver would wait for an answer and take nothing.
 */
import type { Redis } from 'ioredis';

/** As long as a claim lasts by default, and longer than the longest wait of BullMQ for a job (10 s), behind which an answer comes. */
export const ANSWER_WITHIN_MS = 30_000;

/**
 * To be called every ANSWER_WITHIN_MS: cuts the connection when what was asked the last time is not answered. The client connects again,
 * and sends anew what it has no answer to.
 */
export function silenceGuard(client: Redis): () => void {
  let asked = false;
  const answered = (): void => void (asked = false);
  const cut = (): void => {
    if (asked) client.disconnect(true);
  };
  return () => {
    // While it is away, or is becoming so, that is known.
    if (client.status !== 'ready' && client.status !== 'connect') return;
    // A process that was held up has not read yet what has come meanwhile.
    if (asked) return void setImmediate(cut);
    asked = true;
    client.ping().then(answered, answered);
  };
}

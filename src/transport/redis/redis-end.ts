/**
 * Ends clients of ioredis for good, whatever they are doing, so that everything that waits on one settles. By itself a client that is
 * disconnected between two attempts to connect only forgets the next attempt: it never says that it has ended, and a receiver that is
 * stopped then would wait for its commands for ever.
 */
import type { Redis } from 'ioredis';

/** From now on `disconnect` ends this client in every state. BullMQ calls it too. */
export function makeEndable(client: Redis): void {
  const disconnect = client.disconnect.bind(client);
  let cut: unknown;
  client.disconnect = (reconnect = false) => {
    if (reconnect) {
      // It is on its way already; and one that asks where the server is (Sentinel, a cluster) would end for good when it is told to stop.
      if (client.status === 'connecting') return;
      // Every command that was refused by a server that is none any more asks for the same, and each leaves a listener.
      if (client.stream === cut) return;
      cut = client.stream;
    }
    // One that has not begun to connect ends at once, as this one can.
    if (!reconnect && client.status === 'reconnecting') client.status = 'wait';
    disconnect(reconnect);
    if (!reconnect) rejectKept(client);
  };
}

export function end(client: Redis): void {
  if (client.status !== 'end') client.disconnect();
}

/**
 * Commands that were under way when the connection broke. They are kept to be sent again with the next connection that becomes ready, and
 * forgotten when there is none. ioredis tells of them in no other way.
 */
function rejectKept(client: Redis): void {
  const kept = Reflect.get(client, 'prevCommandQueue') as KeptCommands | null | undefined;
  while (kept !== null && kept !== undefined && kept.length > 0)
    kept.shift()?.command.reject(new Error('Connection is closed.'));
}

interface KeptCommands {
  readonly length: number;
  shift(): { readonly command: { reject(error: Error): void } } | undefined;
}

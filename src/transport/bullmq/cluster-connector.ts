/**
 * Connects a client of ioredis to whichever node of a cluster serves a slot at the time, and again when it has moved, as ioredis does with
 * the primary that Sentinel tells. So what reads one queue, a connection that waits among it, needs no cluster client.
 */
import { connect as connectPlain } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, type RedisOptions } from 'ioredis';
import type { ClusterTopology } from './cluster-topology.ts';

const RETRY_MS = 200;
type Stream = ReturnType<typeof connectPlain> | ReturnType<typeof connectTls>;

/** The option `Connector` for a client of the node that serves `slot`. */
export function slotConnector(topology: ClusterTopology, slot: number): NonNullable<RedisOptions['Connector']> {
  return class SlotConnector extends AbstractConnector {
    readonly #options: RedisOptions;

    constructor(options: unknown) {
      const given = options as RedisOptions;
      super(given.disconnectTimeout ?? 2000);
      this.#options = given;
    }

    /** ioredis ends a client for good whose connector fails: it goes on until it is told to disconnect. */
    override async connect(emit: (type: string, error: Error) => void): Promise<Stream> {
      this.connecting = true;
      for (;;) {
        try {
          // Whoever connects has lost a connection, or was sent away.
          topology.suspect();
          // oxlint-disable-next-line no-await-in-loop -- each try waits for the one before
          const node = await topology.masterOf(slot);
          if (!this.connecting) break;
          return this.#open(node);
        } catch (error) {
          if (!this.connecting) break;
          emit('error', error as Error);
          // oxlint-disable-next-line no-await-in-loop
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
          if (!this.connecting) break;
        }
      }
      throw new Error('Connection is closed.');
    }

    #open({ host, port }: { readonly host: string; readonly port: number }): Stream {
      const { tls, family } = this.#options;
      const to = { host, port, ...(family === undefined ? {} : { family }) };
      const stream = (tls ?? undefined) === undefined ? connectPlain(to) : connectTls({ ...to, ...tls });
      stream.once('error', (error: Error) => void (this.firstError = error));
      this.stream = stream;
      return stream;
    }
  };
}

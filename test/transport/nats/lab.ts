/**
 * What the tests of NATS share: a look at what the server holds, past the transport.
 */
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { onTestFinished } from 'vitest';
import type { NatsServer } from '../../../src/servers/nats.ts';
import { destinationName, outbound, type recorder } from '../../../src/testing/transport/kit.ts';
import { createNatsTransport } from '../../../src/transport/nats/nats-transport.ts';
import type { NatsTransportOptions } from '../../../src/transport/nats/options.ts';
import type { OutboundMessage, Publisher, ReceiveOptions, Receiver, Transport } from '../../../src/transport/port.ts';
import { receiveFrom } from '../receive-from.ts';

/** Claims that run out soon, so that a test need not wait long for what a dead consumer held. */
export const SHORT = { claimDuration: 400 };

/** A connection to a server, for the test that runs. */
export async function connectionTo(server: Pick<NatsServer, 'url'>, user?: object): Promise<NatsConnection> {
  const nc = await connect({ servers: server.url, ...user });
  onTestFinished(() => nc.close());
  return nc;
}

export async function managerOf(server: Pick<NatsServer, 'url'>, user?: object): Promise<JetStreamManager> {
  return jetstreamManager(await connectionTo(server, user));
}

export interface NatsLab {
  readonly destination: string;
  readonly stream: string;
  readonly transport: Transport;
  readonly publisher: Publisher;
  readonly errors: Error[];
  /** Resolves with the next error that fits, past ones included. */
  error(pattern: RegExp): Promise<Error>;
  publish(...numbers: number[]): Promise<void>;
  message(n: number, rest?: Partial<OutboundMessage>): OutboundMessage;
  /** Started. */
  receive(handle: ReturnType<typeof recorder>['handle'], options?: Partial<ReceiveOptions>): Promise<Receiver>;
}

/** A transport with a destination of its own, for the test that runs. Publishing is tried until the server takes it. */
export function openLab(
  connection: NatsTransportOptions['connection'],
  options: Partial<NatsTransportOptions> = {},
): NatsLab {
  const errors: Error[] = [];
  const waiting = new Set<() => void>();
  const destination = destinationName();
  const transport = createNatsTransport({
    connection,
    ...SHORT,
    onError(error) {
      errors.push(error);
      waiting.forEach((check) => check());
    },
    ...options,
  });
  onTestFinished(() => transport.close());
  const publisher = transport.publisher();
  const message: NatsLab['message'] = (n, rest) => outbound(destination, n, rest);
  return {
    destination,
    stream: `holdfast-${destination}`,
    transport,
    publisher,
    errors,
    error: (pattern) =>
      new Promise((resolve) => {
        const check = (): void => {
          const found = errors.find((error) => pattern.test(error.message));
          if (found === undefined) return;
          waiting.delete(check);
          resolve(found);
        };
        waiting.add(check);
        check();
      }),
    async publish(...numbers) {
      const batch = numbers.map((n) => message(n, { key: 'k' }));
      const signal = new AbortController().signal;
      while (!(await publisher.publish(batch, { signal }).catch(() => undefined)));
    },
    message,
    receive: (handle, rest) => receiveFrom(transport, destination, handle, rest),
  };
}

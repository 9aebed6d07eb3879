/**
 * Loads the client of NATS with the first publisher or receiver; a process that uses neither has not installed it.
 */
import type * as JetStream from '@nats-io/jetstream';
import type * as Transport from '@nats-io/transport-node';
import { type BrokerClient, loadClient } from '../load-client.ts';

/** What of the client's packages is used. */
export type NatsClient = Pick<typeof Transport, 'connect' | 'createInbox' | 'headers'> &
  Pick<typeof JetStream, 'jetstreamManager'>;

const NATS: BrokerClient = {
  failure: (why) => `The client of the broker (nats) cannot be loaded: ${why}`,
  packages: ['@nats-io/transport-node', '@nats-io/jetstream'],
  adviceWhenMissing: 'It is not installed with holdfast: npm install @nats-io/transport-node @nats-io/jetstream',
  adviceElse: 'Install the dependencies of holdfast anew; a bundle must hold the packages of @nats-io, or find them.',
};

/** @throws HoldfastError HF_TRANSPORT_UNAVAILABLE; a later call tries again */
export function loadNatsClient(): Promise<NatsClient> {
  return loadClient(NATS, async () => {
    const [{ connect, createInbox, headers }, { jetstreamManager }] = await Promise.all([
      import('@nats-io/transport-node'),
      import('@nats-io/jetstream'),
    ]);
    return { connect, createInbox, headers, jetstreamManager };
  });
}

/**
 * Loads the client of NATS with the first publisher or receiver; a process that uses neither has not installed it.
 */
import type * as JetStream from '@nats-io/jetstream';
import type * as Transport from '@nats-io/transport-node';
import { HoldfastError } from '../../errors.ts';
import { missingPackage } from '../../runtime/missing-package.ts';

/** What of the client's packages is used. */
export type NatsClient = Pick<typeof Transport, 'connect' | 'createInbox' | 'headers'> &
  Pick<typeof JetStream, 'jetstreamManager'>;

/** @throws HoldfastError HF_TRANSPORT_UNAVAILABLE; a later call tries again */
export async function loadNatsClient(): Promise<NatsClient> {
  try {
    const [{ connect, createInbox, headers }, { jetstreamManager }] = await Promise.all([
      import('@nats-io/transport-node'),
      import('@nats-io/jetstream'),
    ]);
    return { connect, createInbox, headers, jetstreamManager };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const isMissing = missingPackage(cause, ['@nats-io/transport-node', '@nats-io/jetstream']) !== undefined;
    throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The client of the broker (nats) cannot be loaded: ${why}`, {
      advice: isMissing
        ? 'It is not installed with holdfast: npm install @nats-io/transport-node @nats-io/jetstream'
        : 'Install the dependencies of holdfast anew; a bundle must hold the packages of @nats-io, or find them.',
      cause,
    });
  }
}

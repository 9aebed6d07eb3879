/** NATS JetStream by hand: publishes under way together, and a consumer that acknowledges each message. */
import { connect } from '@nats-io/transport-node';
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy } from '@nats-io/jetstream';
import { IN_HAND, type Carrier } from '../support/carrier.ts';

const CONSUMER = 'consumer';
const NANOS_PER_SECOND = 1_000_000_000;

export async function natsByHand(url: string, stream: string): Promise<Carrier> {
  const connection = await connect({ servers: url });
  const manager = await jetstreamManager(connection);
  const client = jetstream(connection);
  await manager.streams.add({
    name: stream,
    subjects: [stream],
    retention: RetentionPolicy.Workqueue,
    duplicate_window: 120 * NANOS_PER_SECOND,
  });
  await manager.consumers.add(stream, {
    durable_name: CONSUMER,
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 50_000,
  });
  return {
    name: 'by-hand',
    async publish(batch) {
      await Promise.all(batch.map(({ id, wire }) => client.publish(stream, wire, { msgID: id })));
    },
    async consume(taken) {
      const consumer = await client.consumers.get(stream, CONSUMER);
      const messages = await consumer.consume({
        max_messages: IN_HAND,
        callback: (message) => {
          taken(message.string());
          message.ack();
        },
      });
      return async () => void (await messages.close());
    },
    left: async () => (await manager.streams.info(stream)).state.messages,
    close: () => connection.close(),
  };
}

/** RabbitMQ by hand: a quorum queue, publishes that are confirmed together, and a consumer that acknowledges each message. */
import { connect } from 'amqplib';
import { IN_HAND, type Carrier } from '../support/carrier.ts';

export async function rabbitmqByHand(url: string, queue: string): Promise<Carrier> {
  const connection = await connect(url);
  const publisher = await connection.createConfirmChannel();
  await publisher.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  return {
    name: 'by-hand',
    async publish(batch) {
      for (const { id, wire } of batch)
        publisher.sendToQueue(queue, Buffer.from(wire), { persistent: true, messageId: id });
      await publisher.waitForConfirms();
    },
    async consume(taken) {
      const channel = await connection.createChannel();
      await channel.prefetch(IN_HAND);
      const { consumerTag } = await channel.consume(queue, (message) => {
        if (message === null) return;
        taken(message.content.toString());
        channel.ack(message);
      });
      // A channel that is closed puts back what it has just acknowledged, while the broker still writes that down.
      return async () => void (await channel.cancel(consumerTag));
    },
    left: async () => (await publisher.checkQueue(queue)).messageCount,
    close: () => connection.close(),
  };
}

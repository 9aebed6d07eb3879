/** `holdfast/rabbitmq`: messages over RabbitMQ. Apart from `holdfast`, because it needs a client that only its users install. Named exports only. */
export { createRabbitmqTransport } from '../transport/rabbitmq/rabbitmq-transport.ts';
export type { RabbitmqQueueLayout, RabbitmqTransportOptions } from '../transport/rabbitmq/options.ts';

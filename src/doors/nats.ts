/** `holdfast/nats`: messages over NATS JetStream. Named exports only. */
export type { NatsAuthenticator, NatsClientOptions } from '../transport/nats/address.ts';
export { createNatsTransport } from '../transport/nats/nats-transport.ts';
export type { NatsQueueLayout, NatsTransportOptions } from '../transport/nats/options.ts';

/** `holdfast/kafka`: messages to Kafka. Apart from `holdfast`, because its declarations need those of kafkajs. Named exports only. */
export { createKafkaTransport } from '../transport/kafka/kafka-transport.ts';
export type { KafkaTransportOptions } from '../transport/kafka/options.ts';
export type { KafkaFormat } from '../transport/kafka/record.ts';

/**
 * The producer of a publisher: loaded and connected with the first use, and given up after whatever goes wrong, because kafkajs then does
 * not always connect again; the next use makes another.
 */
import type * as Kafkajs from 'kafkajs';
import type { Kafka, Producer } from 'kafkajs';
import { HoldfastError } from '../../errors.ts';
import { type BrokerClient, loadClient } from '../load-client.ts';
import type { KafkaSettings } from './options.ts';

const KAFKAJS: BrokerClient = {
  failure: () => 'The client of Kafka cannot be loaded.',
  packages: ['kafkajs'],
  adviceWhenMissing: 'Install it: npm install kafkajs.',
};

interface Client {
  readonly kafka: Kafka;
  readonly makeProducer: () => Producer;
}

export class KafkaConnection {
  readonly #settings: KafkaSettings;
  #client: Promise<Client> | undefined;
  #producer: Promise<Producer> | undefined;
  #closed = false;

  constructor(settings: KafkaSettings) {
    this.#settings = settings;
  }

  /** Rejects with HF_STOPPED once it is closed. */
  async producer(): Promise<Producer> {
    this.#assertOpen();
    if (this.#producer === undefined) {
      const attempt = this.#connect();
      this.#producer = attempt;
      // What could not be connected is tried again by the next call.
      attempt.catch(() => {
        if (this.#producer === attempt) this.#producer = undefined;
      });
    }
    return this.#producer;
  }

  /** Asks a broker for the cluster. */
  async ask(): Promise<void> {
    this.#assertOpen();
    const { kafka } = await this.#load();
    const admin = kafka.admin({ retry: { retries: 0 } });
    try {
      await admin.connect();
      await admin.describeCluster();
    } finally {
      await admin.disconnect().catch(() => {});
    }
  }

  /** What is under way then ends without an answer. */
  drop(): void {
    const producer = this.#producer;
    this.#producer = undefined;
    producer?.then((made) => made.disconnect()).catch((error: unknown) => this.#tell(error));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const producer = await this.#producer?.catch(() => undefined);
    this.#producer = undefined;
    await producer?.disconnect().catch(() => {});
  }

  async #connect(): Promise<Producer> {
    const { makeProducer } = await this.#load();
    const producer = makeProducer();
    try {
      await producer.connect();
      return producer;
    } catch (error) {
      await producer.disconnect().catch(() => {});
      throw error;
    }
  }

  #load(): Promise<Client> {
    this.#client ??= this.#import();
    this.#client.catch(() => void (this.#client = undefined));
    return this.#client;
  }

  async #import(): Promise<Client> {
    const { brokers, clientId, ssl, sasl, publishTimeoutMs } = this.#settings;
    const client = await loadKafkajs();
    const kafka = new client.Kafka({
      brokers: [...brokers],
      clientId,
      ...(ssl === undefined ? {} : { ssl }),
      ...(sasl === undefined ? {} : { sasl }),
      connectionTimeout: publishTimeoutMs,
      authenticationTimeout: publishTimeoutMs,
      requestTimeout: publishTimeoutMs,
      enforceRequestTimeout: true,
      // One layer retries: the relay.
      retry: { retries: 0 },
      logCreator: () => () => {},
    });
    const makeProducer = () =>
      kafka.producer({
        // A key stays where producers of Java put it.
        createPartitioner: client.Partitioners.DefaultPartitioner,
        allowAutoTopicCreation: false,
        // Of a partition, one request after the other: none overtakes one that is sent again.
        maxInFlightRequests: 1,
        retry: { retries: 0 },
      });
    return { kafka, makeProducer };
  }

  #assertOpen(): void {
    if (this.#closed) throw new HoldfastError('HF_STOPPED', 'The publisher is closed.');
  }

  #tell(error: unknown): void {
    this.#settings.onError(error instanceof Error ? error : new Error(String(error)));
  }
}

function loadKafkajs(): Promise<typeof Kafkajs> {
  return loadClient(KAFKAJS, () => import('kafkajs'));
}

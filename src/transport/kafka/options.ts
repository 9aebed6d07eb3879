/**
 * The options of the Kafka transport, checked and with defaults.
 */
import type { ConnectionOptions } from 'node:tls';
import type { SASLOptions } from 'kafkajs';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { safeHook } from '../../runtime/observers.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { throttleErrors } from '../throttle-errors.ts';
import type { KafkaFormat } from './record.ts';

/** Options of {@link createKafkaTransport}. */
export interface KafkaTransportOptions {
  /** Some of the brokers, `host:port`; the others are learned from them. */
  readonly brokers: readonly string[];
  /**
   * What the cluster knows this process by, in its logs and quotas.
   *
   * @defaultValue 'holdfast'
   */
  readonly clientId?: string | undefined;
  /** TLS: true, or options of `tls.connect` such as `ca`. */
  readonly ssl?: boolean | ConnectionOptions | undefined;
  /** User and password, as kafkajs takes them: `{ mechanism: 'scram-sha-512', username, password }`. */
  readonly sasl?: SASLOptions | undefined;
  /**
   * By the Kafka binding of CloudEvents. 'structured': the value is the envelope (docs/wire-format.md). 'binary': the value is the payload, and
   * the attributes are headers, `ce_id`, `ce_type` and so on, beside those of the sender.
   *
   * @defaultValue 'structured'
   */
  readonly format?: KafkaFormat | undefined;
  /**
   * How long a broker may take to be connected to, or to answer.
   *
   * @defaultValue '5s'
   */
  readonly publishTimeout?: Duration | undefined;
  /**
   * A message whose envelope is larger than this many bytes is refused for good. Not above what the cluster takes (`message.max.bytes`).
   *
   * @defaultValue 1,000,000
   */
  readonly maxMessageBytes?: number | undefined;
  /** Told about failures that have no caller. One that comes again and again is told ever more rarely. */
  readonly onError?: ((error: Error) => void) | undefined;
}

export interface KafkaSettings {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly ssl: boolean | ConnectionOptions | undefined;
  readonly sasl: SASLOptions | undefined;
  readonly format: KafkaFormat;
  readonly publishTimeoutMs: number;
  readonly maxMessageBytes: number;
  readonly onError: (error: Error) => void;
}

const KNOWN = ['brokers', 'clientId', 'ssl', 'sasl', 'format', 'publishTimeout', 'maxMessageBytes', 'onError'] as const;
const WHERE = 'createKafkaTransport';

/** @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN */
export function resolveKafkaOptions(options: KafkaTransportOptions): KafkaSettings {
  refuseUnknownOptions(options, KNOWN, WHERE);
  const { brokers, clientId = 'holdfast', format = 'structured', maxMessageBytes = 1_000_000 } = options;
  if (!Array.isArray(brokers) || brokers.length === 0 || !brokers.every(isAddress))
    throw badOption(
      `${WHERE}.brokers`,
      'is no list of addresses',
      "Give some, such as ['kafka-1:9092', 'kafka-2:9092'].",
    );
  if (typeof clientId !== 'string' || clientId === '') throw badOption(`${WHERE}.clientId`, 'is empty', 'Give a name.');
  if (format !== 'structured' && format !== 'binary')
    throw badOption(`${WHERE}.format`, `is ${JSON.stringify(format)}`, "Give 'structured' or 'binary'.");
  if (!Number.isInteger(maxMessageBytes) || maxMessageBytes < 1)
    throw badOption(`${WHERE}.maxMessageBytes`, `is ${maxMessageBytes}`, 'Give a whole number from 1.');
  const publishTimeoutMs = parseDuration(options.publishTimeout ?? '5s', `${WHERE}.publishTimeout`);
  if (publishTimeoutMs <= 0)
    throw badOption(`${WHERE}.publishTimeout`, `is ${publishTimeoutMs} ms`, 'Give more than 0.');
  return {
    brokers,
    clientId,
    ssl: options.ssl,
    sasl: options.sasl,
    format,
    publishTimeoutMs,
    maxMessageBytes,
    onError: throttleErrors(safeHook(options.onError, 'onError of a transport')),
  };
}

function isAddress(broker: unknown): boolean {
  return typeof broker === 'string' && /^[^\s/@]+:\d{1,5}$/.test(broker);
}

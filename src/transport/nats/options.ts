/**
 * The options of the transport over NATS, checked and with defaults.
 */
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { safeHook } from '../../runtime/observers.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { partitionsOfQueues } from '../partitions.ts';
import { throttleErrors } from '../throttle-errors.ts';
import { type NatsAddress, type NatsClientOptions, parseConnection } from './address.ts';
import { DEFAULT_NATS_PREFIX, isPrefix, tokenOf } from './names.ts';

/** How one destination is laid out. Publisher and consumers must be given the same. */
export interface NatsQueueLayout {
  /**
   * Number of parts that a destination's messages are spread over by their keys, 1 to 1024. An ordered receiver runs one delivery a
   * partition, so this is the most it can do at once.
   *
   * @defaultValue 1
   */
  readonly partitions?: number | undefined;
}

/** Options of {@link createNatsTransport}. */
export interface NatsTransportOptions {
  /**
   * `nats://host:4222`, `tls://host:4222` with TLS, several of these, or {@link NatsClientOptions}. A user and a password, or a token, may stand
   * in a URL. Name several servers of a cluster: they are tried in any order, and those that they tell of after them.
   */
  readonly connection: string | readonly string[] | NatsClientOptions;
  /**
   * What the names of streams and subjects begin with, the same for publishers and consumers: letters and digits, at most 32.
   *
   * @defaultValue 'holdfast'
   */
  readonly prefix?: string | undefined;
  /** Layout of destinations that need more than one partition. */
  readonly queues?: Readonly<Record<string, NatsQueueLayout>> | undefined;
  /**
   * How many servers keep each message: 1, 3 or 5. More than 1 needs a cluster of at least that many. Of streams that are there already it
   * changes nothing; a difference is told to `onError`.
   *
   * @defaultValue 1
   */
  readonly replicas?: 1 | 3 | 5 | undefined;
  /**
   * Where servers keep messages. 'memory' loses them with the last server that has them.
   *
   * @defaultValue 'file'
   */
  readonly storage?: 'file' | 'memory' | undefined;
  /**
   * How many messages a destination may hold before publishers are refused and wait.
   *
   * @defaultValue no limit but that of the account
   */
  readonly maxMessages?: number | undefined;
  /**
   * The same in bytes, with what the server needs beside each message. Accounts of some services must be told a number. Refused with servers
   * before 2.10.5: when a destination is nearly full, they drop an old message for a new one.
   *
   * @defaultValue no limit but that of the account
   */
  readonly maxBytes?: number | undefined;
  /**
   * For how long the server knows the id of a message again that is published twice.
   *
   * @defaultValue '2m', the server's own
   */
  readonly duplicateWindow?: Duration | undefined;
  /**
   * How long a delivery belongs to its consumer without a sign of life; renewed at a third of it (`ack_wait` of the NATS consumer).
   *
   * @defaultValue '30s'
   */
  readonly claimDuration?: Duration | undefined;
  /**
   * How many messages of a destination may be handed out or held back until later at once, over all consumers that read it without order.
   * When so many are, no others are handed out (`max_ack_pending` of the NATS consumer).
   *
   * @defaultValue 50,000
   */
  readonly maxUnacknowledged?: number | undefined;
  /**
   * How long the server may take to be connected to, or to answer.
   *
   * @defaultValue '5s'
   */
  readonly publishTimeout?: Duration | undefined;
  /**
   * A message whose envelope is larger than this many bytes is refused for good. The server has a limit of its own (`max_payload`, 1 MiB if
   * nobody set it), which holds as well.
   *
   * @defaultValue the server's limit alone
   */
  readonly maxMessageBytes?: number | undefined;
  /**
   * Make streams and consumers that are not there. With `false` the role needs fewer rights, and what docs/transports.md lists must be there.
   *
   * @defaultValue true
   */
  readonly create?: boolean | undefined;
  /**
   * Told about failures in the background, which have no caller: lost connections, rejected handlers, unsafe settings. One that comes again
   * and again is told at once, then after 2 s, 4 s and so on, up to every 10 minutes.
   */
  readonly onError?: ((error: Error) => void) | undefined;
}

/** The same, checked and with defaults. */
export interface NatsSettings {
  readonly address: NatsAddress;
  readonly prefix: string;
  readonly partitionsOf: (destination: string) => number;
  readonly replicas: number;
  readonly storage: 'file' | 'memory';
  /** -1: no limit. */
  readonly maxMessages: number;
  /** -1: no limit. */
  readonly maxBytes: number;
  readonly duplicateWindowMs: number;
  readonly claimDurationMs: number;
  readonly maxUnacknowledged: number;
  readonly publishTimeoutMs: number;
  /** Infinity: the server's limit alone. */
  readonly maxMessageBytes: number;
  readonly create: boolean;
  readonly onError: (error: Error) => void;
}

const OPTIONS = [
  'connection',
  'prefix',
  'queues',
  'replicas',
  'storage',
  'maxMessages',
  'maxBytes',
  'duplicateWindow',
  'claimDuration',
  'maxUnacknowledged',
  'publishTimeout',
  'maxMessageBytes',
  'create',
  'onError',
] as const satisfies readonly (keyof NatsTransportOptions)[];

/** The server's own lower limit. */
const SHORTEST_WINDOW_MS = 100;

/** @throws HoldfastError HF_CONFIG, HF_DURATION or HF_OPTION_UNKNOWN */
export function resolveNatsOptions(options: NatsTransportOptions, where: string): NatsSettings {
  refuseUnknownOptions(options, OPTIONS, where);
  const { prefix = DEFAULT_NATS_PREFIX, replicas = 1, storage = 'file', create = true } = options;
  if (typeof prefix !== 'string' || !isPrefix(prefix))
    throw badOption(`${where}: prefix`, `is ${JSON.stringify(prefix)}`, 'Give 1 to 32 letters and digits.');
  if (![1, 3, 5].includes(replicas)) throw badOption(`${where}: replicas`, `is ${replicas}`, 'Give 1, 3 or 5.');
  if (storage !== 'file' && storage !== 'memory')
    throw badOption(`${where}: storage`, `is ${JSON.stringify(storage)}`, "Give 'file' or 'memory'.");
  if (typeof create !== 'boolean')
    throw badOption(`${where}: create`, `is ${JSON.stringify(create)}`, 'Give true or false.');
  const partitionsOf = partitionsOfQueues(options.queues, {
    nameOf: (destination) => `${where} queues.${destination}`,
    refusal: (destination, partitions) => `${where}: queues.${destination}.partitions is ${partitions}.`,
    assertDestination: tokenOf,
  });
  const duration = (name: 'duplicateWindow' | 'claimDuration' | 'publishTimeout', fallback: Duration): number =>
    positive(`${where}: ${name}`, parseDuration(options[name] ?? fallback, `${where}: ${name}`));
  const whole = (
    name: 'maxMessages' | 'maxBytes' | 'maxUnacknowledged' | 'maxMessageBytes',
    fallback: number,
  ): number => {
    const value = options[name];
    if (value === undefined) return fallback;
    if (Number.isSafeInteger(value) && value > 0) return value;
    throw badOption(`${where}: ${name}`, `is ${value}`, 'Give a whole number from 1.');
  };
  const duplicateWindowMs = duration('duplicateWindow', '2m');
  if (duplicateWindowMs < SHORTEST_WINDOW_MS)
    throw badOption(
      `${where}: duplicateWindow`,
      `is ${duplicateWindowMs} ms`,
      `Give at least ${SHORTEST_WINDOW_MS} ms.`,
    );
  return {
    address: parseConnection(options.connection, where),
    prefix,
    partitionsOf,
    replicas,
    storage,
    maxMessages: whole('maxMessages', -1),
    maxBytes: whole('maxBytes', -1),
    duplicateWindowMs,
    claimDurationMs: duration('claimDuration', '30s'),
    maxUnacknowledged: whole('maxUnacknowledged', 50_000),
    publishTimeoutMs: duration('publishTimeout', '5s'),
    maxMessageBytes: whole('maxMessageBytes', Infinity),
    create,
    onError: throttleErrors(safeHook(options.onError, 'onError of a transport')),
  };
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw badOption(name, `is ${value}`, 'Give what is more than 0.');
}

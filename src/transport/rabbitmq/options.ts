/**
 * The options of the RabbitMQ transport, checked and with defaults.
 */
import type { ConnectionOptions } from 'node:tls';
import { HoldfastError } from '../../errors.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { safeHook } from '../../runtime/observers.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { partitionCount } from '../partitions.ts';
import { throttleErrors } from '../throttle-errors.ts';
import { assertQueueName } from './topology.ts';

/** How one destination is laid out. Publishers and consumers must be given the same. */
export interface RabbitmqQueueLayout {
  /**
   * Number of queues that carry the destination, 1 to 1024. An ordered receiver runs one delivery a partition, so this is the most it can do
   * at once.
   *
   * @defaultValue 1
   */
  readonly partitions?: number | undefined;
  /**
   * Whether its consumers are ordered. RabbitMQ makes a queue for one active consumer or for many, and cannot change it, so both sides must
   * say so before the first message; a consumer with `ordered: true` on a destination without it is refused.
   *
   * @defaultValue false
   */
  readonly ordered?: boolean | undefined;
}

/** Options of {@link createRabbitmqTransport}. */
export interface RabbitmqTransportOptions {
  /**
   * `amqp://user:password@host:5672/vhost`, or `amqps://…` for TLS; several for the nodes of a cluster, of which one that answers is used.
   * Without a virtual host it is `/`.
   */
  readonly connection: string | readonly string[];
  /** For `amqps://`: certificates, name of the server, as Node takes them. */
  readonly tls?: ConnectionOptions | undefined;
  /**
   * What the names of all queues begin with, the same for publishers and consumers.
   *
   * @defaultValue 'holdfast.'
   */
  readonly prefix?: string | undefined;
  /** Layout of single destinations. */
  readonly queues?: Readonly<Record<string, RabbitmqQueueLayout>> | undefined;
  /** Layout of all destinations that `queues` does not name. */
  readonly otherQueues?: RabbitmqQueueLayout | undefined;
  /**
   * Whether queues that are missing are made. With `false` the user needs no right to configure; what is to be made is in docs/transports.md.
   *
   * @defaultValue true
   */
  readonly declare?: boolean | undefined;
  /**
   * How long the broker may take to connect, or to acknowledge the next of the messages that were sent.
   *
   * @defaultValue '5s'
   */
  readonly publishTimeout?: Duration | undefined;
  /**
   * Whoever says nothing for about twice as long is taken for gone: the broker, by its clients, and a consumer, by the broker, which then
   * hands its messages to others. Whole seconds, at least 1. A consumer that blocks its event loop for that long loses its messages.
   *
   * @defaultValue '10s'
   */
  readonly heartbeat?: Duration | undefined;
  /**
   * A message whose envelope is larger than this many bytes is refused for good. Where the broker takes less, its own limit is found with the
   * first message that is too large.
   *
   * @defaultValue 16 MiB, the limit of RabbitMQ 4
   */
  readonly maxMessageBytes?: number | undefined;
  /**
   * Told about failures in the background, which have no caller: lost connections, rejected handlers, queues that cannot be used. One that
   * comes again and again is told at once, then after 2 s, 4 s and so on, up to every 10 minutes.
   */
  readonly onError?: ((error: Error) => void) | undefined;
}

const OPTIONS: readonly (keyof RabbitmqTransportOptions)[] = [
  'connection',
  'tls',
  'prefix',
  'queues',
  'otherQueues',
  'declare',
  'publishTimeout',
  'heartbeat',
  'maxMessageBytes',
  'onError',
];

/** A layout with its defaults. */
export interface QueueLayoutSettings {
  readonly partitions: number;
  readonly ordered: boolean;
}

/** The same, checked and with defaults. */
export interface RabbitmqSettings {
  readonly endpoints: readonly RabbitmqEndpoint[];
  readonly tls: ConnectionOptions;
  readonly prefix: string;
  readonly layoutOf: (destination: string) => QueueLayoutSettings;
  /** Whether some destination is ordered. */
  readonly hasOrdered: boolean;
  /** Destinations that the options name. */
  readonly named: readonly string[];
  readonly declare: boolean;
  readonly publishTimeoutMs: number;
  readonly heartbeatSeconds: number;
  readonly maxMessageBytes: number;
  /** How long a message of an ordered queue is held in hand at once: well below the half hour after which RabbitMQ gives up on a consumer. */
  readonly holdMostMs: number;
  /** Between looks of a receiver at what it reads, and at what it should read. */
  readonly lookAfterMs: number;
  readonly onError: (error: Error) => void;
}

const HOLD_MOST_MS = 600_000;
const LOOK_AFTER_MS = 15_000;
const DEFAULT_PREFIX = 'holdfast.';
const WHERE = 'createRabbitmqTransport';

/** @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION */
export function resolveRabbitmqOptions(options: RabbitmqTransportOptions): RabbitmqSettings {
  refuseUnknownOptions(options, OPTIONS, WHERE);
  const prefix = options.prefix ?? DEFAULT_PREFIX;
  const layouts = new Map<string, QueueLayoutSettings>();
  for (const [destination, layout] of Object.entries(options.queues ?? {})) {
    assertQueueName(destination, prefix);
    layouts.set(destination, resolveLayout(layout, `${WHERE} queues.${destination}`));
  }
  const others = resolveLayout(options.otherQueues ?? {}, `${WHERE} otherQueues`);
  const heartbeatMs = parseDuration(options.heartbeat ?? '10s', `${WHERE}: heartbeat`);
  if (heartbeatMs < 1000 || heartbeatMs > 3_600_000 || heartbeatMs % 1000 !== 0)
    throw badOption(`${WHERE}: heartbeat`, `is ${heartbeatMs} ms`, "Give whole seconds from '1s' to '1h'.");
  const publishTimeoutMs = parseDuration(options.publishTimeout ?? '5s', `${WHERE}: publishTimeout`);
  return {
    endpoints: endpointsOf(options.connection),
    tls: options.tls ?? {},
    prefix,
    layoutOf: (destination) => layouts.get(destination) ?? others,
    hasOrdered: others.ordered || [...layouts.values()].some(({ ordered }) => ordered),
    named: [...layouts.keys()],
    declare: options.declare ?? true,
    publishTimeoutMs: positive('publishTimeout', publishTimeoutMs),
    heartbeatSeconds: heartbeatMs / 1000,
    maxMessageBytes: positive('maxMessageBytes', options.maxMessageBytes ?? 16 * 1024 * 1024),
    holdMostMs: HOLD_MOST_MS,
    lookAfterMs: LOOK_AFTER_MS,
    onError: throttleErrors(safeHook(options.onError, 'onError of a transport')),
  };
}

function resolveLayout(layout: RabbitmqQueueLayout, where: string): QueueLayoutSettings {
  refuseUnknownOptions(layout, ['partitions', 'ordered'], where);
  const partitions = partitionCount(layout.partitions, (given) => `${where} has ${given} partitions.`);
  return { partitions, ordered: layout.ordered ?? false };
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw badOption(`${WHERE}: ${name}`, `is ${value}`, 'Give what is more than 0.');
}

/** Where a server is, and how to get in. */
export interface RabbitmqEndpoint {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly vhost: string;
}

function endpointsOf(connection: string | readonly string[]): readonly RabbitmqEndpoint[] {
  const urls = typeof connection === 'string' ? [connection] : [...connection];
  const endpoints = urls.map(endpointOf).filter((endpoint) => endpoint !== null);
  if (endpoints.length > 0 && endpoints.length === urls.length) return endpoints;
  // Without showing it: it has a password.
  throw new HoldfastError('HF_CONFIG', `${WHERE}: connection is not the URL of a RabbitMQ.`, {
    advice:
      'Give amqp://user:password@host:5672/vhost or amqps://…, without parameters; several as an array. Special characters of a password are written as %XX.',
  });
}

function endpointOf(url: string): RabbitmqEndpoint | null {
  if (!URL.canParse(url)) return null;
  const { protocol, hostname, port, username, password, pathname, search } = new URL(url);
  const secure = protocol === 'amqps:';
  if (!(secure || protocol === 'amqp:') || hostname === '' || search !== '') return null;
  try {
    return {
      secure,
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || (secure ? 5671 : 5672)),
      user: decodeURIComponent(username) || 'guest',
      password: username === '' ? 'guest' : decodeURIComponent(password),
      vhost: decodeURIComponent(pathname.slice(1)) || '/',
    };
  } catch {
    return null;
  }
}

/** As it was given, without users and passwords: names of hosts are not looked up. */
export function addressOf({ endpoints, prefix }: RabbitmqSettings): string {
  const places = endpoints.map(({ host, port, vhost }) => `${host}:${port} ${vhost}`);
  return `rabbitmq ${places.toSorted().join(', ')} prefix ${prefix}`;
}

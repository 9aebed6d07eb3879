/**
 * The transports that the configuration names, each made once, when it is first asked for.
 */
import { HoldfastError, isHoldfastError } from '../../errors.ts';
import type { HoldfastConfig } from '../../operations/config.ts';
import type { DatabaseOptions } from '../../postgres/pool-settings.ts';
import type { Logger } from '../../runtime/log.ts';
import { didYouMean } from '../../runtime/options.ts';
import { timeLimit } from '../../runtime/time-limit.ts';
import { createBullmqPostgresTransport } from '../../transport/bullmq/postgres-transport.ts';
import { createBullmqTransport } from '../../transport/bullmq/redis-transport.ts';
import { createNatsTransport } from '../../transport/nats/nats-transport.ts';
import type { Transport } from '../../transport/port.ts';
import { createRabbitmqTransport } from '../../transport/rabbitmq/rabbitmq-transport.ts';
import { createRedisStreamsTransport } from '../../transport/redis-streams/redis-streams-transport.ts';
import { isTransportDefect } from '../../transport/shared.ts';
import type { Given } from './options.ts';
import { resolveRedisUrls } from './servers.ts';

export interface TransportInputs {
  readonly given: Given;
  readonly config: HoldfastConfig;
  readonly database: DatabaseOptions;
  /** Told of failures of transports that have no caller. */
  readonly onTransportError: (error: Error) => void;
  /** What carries messages where nothing is named and there is no Redis. Default: nothing. */
  readonly fallback?: 'postgres' | undefined;
}

export interface Transports {
  /** `wanted`: null for what the configuration suggests. Throws HF_CONFIG. */
  find(wanted: Transport | string | null, where: string): Transport;
  /** All that were found, to be closed at the end. */
  all(): readonly Transport[];
  /** Something carries messages where nothing is named. */
  readonly hasDefault: boolean;
}

/** What each server that carries messages is called, and by which flag or variable it is told: for the errors. */
const SERVERS = {
  redis: {
    name: 'Redis',
    advice: 'Give --redis-url, or REDIS_URL in the environment, or redis.url in holdfast.config.ts.',
  },
  nats: { name: 'NATS', advice: 'Give --nats-url, or NATS_URL in the environment.' },
  rabbitmq: { name: 'RabbitMQ', advice: 'Give --rabbitmq-url, or RABBITMQ_URL in the environment.' },
} as const;

/** Makes each built-in transport once, when it is first asked for. */
export function createTransports(inputs: TransportInputs): Transports {
  const { given, config, database, onTransportError: onError, fallback = null } = inputs;
  const made = new Map<string, Transport>(Object.entries(config.transports ?? {}));
  const used = new Set<Transport>();
  const [redisUrl] = resolveRedisUrls(given, config);
  const suggested = suggestedTransport(given, redisUrl, fallback);
  const replicas = given.redisReplicas ?? config.redis?.replicas;

  const builtIn: Readonly<Record<string, (where: string) => Transport>> = {
    redis: (where) =>
      createBullmqTransport({
        connection: told(redisUrl, 'redis', where),
        replicas,
        onError,
        ...(config.redis?.prefix === undefined ? {} : { prefix: config.redis.prefix }),
      }),
    'redis-streams': (where) =>
      createRedisStreamsTransport({ connection: told(redisUrl, 'redis', where), replicas, onError }),
    nats: (where) => createNatsTransport({ connection: listed(told(given.natsUrl, 'nats', where)), onError }),
    rabbitmq: (where) =>
      createRabbitmqTransport({ connection: listed(told(given.rabbitmqUrl, 'rabbitmq', where)), onError }),
    postgres: () => createBullmqPostgresTransport({ connection: database.url ?? {}, onError }),
  };

  function create(name: string, where: string): Transport {
    const make = Object.hasOwn(builtIn, name) ? builtIn[name] : undefined;
    if (make !== undefined) return make(where);
    const names = [...Object.keys(builtIn), ...made.keys()];
    const near = didYouMean(name, names);
    throw new HoldfastError('HF_CONFIG', `${where} names the transport '${name}', which there is not.`, {
      advice: near === undefined ? `There are: ${names.join(', ')}.` : `Did you mean '${near}'?`,
    });
  }

  return {
    find(wanted, where) {
      const name = wanted ?? suggested;
      if (name === null) {
        throw new HoldfastError('HF_CONFIG', `Nothing says what carries the messages of ${where}.`, {
          advice: 'Give --redis-url for BullMQ on Redis, or --transport postgres for queues in the same database.',
        });
      }
      let transport = typeof name === 'string' ? made.get(name) : name;
      if (transport === undefined || typeof transport.publisher !== 'function') {
        if (typeof name !== 'string') {
          throw new HoldfastError('HF_CONFIG', `The transport of ${where} is not one.`, {
            advice: 'Make it with createBullmqTransport(…) or another of docs/transports.md, or give a name.',
          });
        }
        transport = create(name, where);
        made.set(name, transport);
      }
      used.add(transport);
      return transport;
    },
    all: () => [...used],
    hasDefault: suggested !== null,
  };
}

/** What carries messages where nothing is named. Throws HF_CONFIG where two servers are given that could. */
function suggestedTransport(given: Given, redisUrl: string | undefined, fallback: 'postgres' | null): string | null {
  if (redisUrl !== undefined) return 'redis';
  if (given.natsUrl !== undefined && given.rabbitmqUrl !== undefined && given.transport === undefined) {
    throw new HoldfastError('HF_CONFIG', 'Both NATS and RabbitMQ are given, and nothing says which carries messages.', {
      advice: 'Give --transport nats or --transport rabbitmq.',
    });
  }
  return given.natsUrl !== undefined ? 'nats' : given.rabbitmqUrl !== undefined ? 'rabbitmq' : fallback;
}

/** Throws HF_CONFIG where nothing says where the server is. */
function told(url: string | undefined, server: keyof typeof SERVERS, where: string): string {
  if (url !== undefined) return url;
  const { name, advice } = SERVERS[server];
  throw new HoldfastError('HF_CONFIG', `${where} is to publish to ${name}, but nothing says where it is.`, { advice });
}

const listed = (urls: string): readonly string[] => urls.split(',').map((url) => url.trim());

/**
 * Those whose brokers can be asked for their queues beside Redis by its URL: of the configuration, and by flags. They hold no connection.
 */
export function askableTransports(given: Given, config: HoldfastConfig): readonly Transport[] {
  const { natsUrl, rabbitmqUrl } = given;
  return [
    ...Object.values(config.transports ?? {}),
    ...(natsUrl === undefined ? [] : [createNatsTransport({ connection: listed(natsUrl) })]),
    ...(rabbitmqUrl === undefined ? [] : [createRabbitmqTransport({ connection: listed(rabbitmqUrl) })]),
  ];
}

/** A first contact is waited for no longer. */
const FIRST_PATIENCE_MS = 2_000;

/**
 * Says which of the transports cannot be reached, once, without holding anything up: a relay without messages would go to its broker with
 * the first one only, and a wrong address stay unnoticed until then. Never rejects.
 */
export async function sayUnreachable(transports: readonly Transport[], log: Logger): Promise<void> {
  await Promise.all(
    transports.map(async (transport) => {
      const publisher = transport.publisher();
      try {
        await publisher.check({ signal: timeLimit(FIRST_PATIENCE_MS) });
      } catch (error) {
        if (!isHoldfastError(error, 'HF_STOPPED'))
          log.error(
            { transport: transport.kind, err: error },
            isTransportDefect(error)
              ? 'the code of the transport fails, whatever its broker does: mend it, messages wait in the outbox'
              : 'the broker cannot be reached yet: messages wait in the outbox until it can',
          );
      } finally {
        await publisher.close().catch(() => {});
      }
    }),
  );
}

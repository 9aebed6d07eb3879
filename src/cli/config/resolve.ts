/**
 * Flags over environment over configuration file over defaults: what the relay is to do. Used by `holdfast relay`.
 */
import { HoldfastError } from '../../errors.ts';
import type { HoldfastConfig, SubscriptionConfig } from '../../operations/config.ts';
import type { DatabaseOptions } from '../../postgres/database.ts';
import { resolveSubscription, type SubscriptionOptions } from '../../relay/options.ts';
import { parseDuration } from '../../runtime/duration.ts';
import { didYouMean } from '../../runtime/options.ts';
import type { LogLevel } from '../../runtime/pino-logger.ts';
import { bullmqPostgresTransport } from '../../transport/bullmq-postgres.ts';
import { bullmqTransport } from '../../transport/bullmq-redis.ts';
import type { Transport } from '../../transport/port.ts';
import type { Given } from './options.ts';
import { resolveRedisUrls } from './servers.ts';

export interface RelaySettings {
  readonly subscriptions: readonly SubscriptionOptions[];
  /** All that were made or given, to be closed at the end. */
  readonly transports: readonly Transport[];
  readonly http: { readonly host: string; readonly port: number } | null;
  readonly logLevel: LogLevel;
  readonly logFormat: 'pretty' | 'json' | null;
  readonly shutdownDeadlineMs: number;
}

export interface RelayInputs {
  readonly given: Given;
  readonly config: HoldfastConfig;
  readonly database: DatabaseOptions;
  /** --no-http. */
  readonly noHttp: boolean;
  /** Told of failures of transports that have no caller. */
  readonly onTransportError: (error: Error) => void;
}

/** Everything is checked here, before anything is opened. Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function resolveRelay(inputs: RelayInputs): RelaySettings {
  const { given, config, noHttp } = inputs;
  const transports = createTransports(inputs);
  const subscriptions = chosen(declared(given, config), given, config).map((subscription): SubscriptionOptions => {
    const { transport: own, ...options } = { ...subscription, ...overrides(given) };
    const wanted = given.transport ?? own ?? config.transport ?? null;
    const settled = { ...options, transport: transports.find(wanted, `subscription '${subscription.name}'`) };
    resolveSubscription(settled);
    return settled;
  });
  const port = given.httpPort ?? (config.http === false ? undefined : config.http?.port) ?? 9464;
  if (port > 65_535) throw new HoldfastError('HF_CONFIG', `The HTTP port is ${port}.`, { advice: 'Give 0 to 65535.' });
  const httpOff = noHttp || (config.http === false && given.httpPort === undefined);
  const host = given.httpHost ?? (config.http === false ? undefined : config.http?.host) ?? '0.0.0.0';
  return {
    subscriptions,
    transports: transports.all(),
    http: httpOff ? null : { host, port },
    logLevel: resolveLogLevel(given, config),
    logFormat: given.logFormat ?? config.log?.format ?? null,
    shutdownDeadlineMs: parseDuration(
      given.shutdownDeadline ?? config.shutdown?.deadline ?? '25s',
      'shutdown.deadline',
    ),
  };
}

function resolveLogLevel(given: Given, config: HoldfastConfig): LogLevel {
  const level = given.logLevel ?? config.log?.level ?? 'info';
  const levels: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
  if (levels.includes(level)) return level;
  throw new HoldfastError('HF_CONFIG', `log.level is ${JSON.stringify(level)}.`, {
    advice: `Give one of: ${levels.join(', ')}.`,
  });
}

function declared(given: Given, config: HoldfastConfig): readonly SubscriptionConfig[] {
  if (config.subscriptions !== undefined && config.subscriptions.length > 0) {
    if (given.route !== undefined) {
      throw new HoldfastError(
        'HF_CONFIG',
        'Routes are given, but the configuration file has subscriptions with routes of their own.',
        {
          advice: 'Change them there, or leave out --route and HOLDFAST_ROUTES.',
        },
      );
    }
    return config.subscriptions;
  }
  const routes = given.route ?? config.routes ?? [];
  if (routes.length === 0) {
    throw new HoldfastError('HF_CONFIG', 'There is no route, so the relay would publish nothing.', {
      advice: "Say which topics go to which queue: --route 'order.**=shipping', or routes in holdfast.config.ts.",
    });
  }
  const [name = 'main', ...more] = given.subscription ?? [];
  if (more.length > 0) {
    throw new HoldfastError('HF_CONFIG', 'Several subscriptions are named, but --route makes one.', {
      advice: 'Declare them in holdfast.config.ts, or start a relay for each.',
    });
  }
  return [{ name, routes }];
}

/** With a configuration file, --subscription picks. */
function chosen(
  subscriptions: readonly SubscriptionConfig[],
  given: Given,
  config: HoldfastConfig,
): readonly SubscriptionConfig[] {
  if (given.subscription === undefined || config.subscriptions === undefined) return subscriptions;
  return given.subscription.map((name) => {
    const found = subscriptions.find((each) => each.name === name);
    if (found !== undefined) return found;
    const names = subscriptions.map((each) => each.name);
    const near = didYouMean(name, names);
    throw new HoldfastError('HF_CONFIG', `The configuration has no subscription '${name}'.`, {
      advice: near === undefined ? `It has: ${names.join(', ')}.` : `Did you mean '${near}'?`,
    });
  });
}

const OVERRIDES = [
  'from',
  'shards',
  'batchSize',
  'lease',
  'publishTimeout',
  'idlePoll',
  'retention',
  'onRefused',
] as const;

/** Flags and variables apply to every subscription. */
function overrides(given: Given): Partial<SubscriptionConfig> {
  return Object.fromEntries(OVERRIDES.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])));
}

interface Transports {
  find(wanted: Transport | string | null, where: string): Transport;
  all(): readonly Transport[];
}

/** Makes each built-in transport once, when it is first asked for. */
function createTransports({ given, config, database, onTransportError: onError }: RelayInputs): Transports {
  const made = new Map<string, Transport>(Object.entries(config.transports ?? {}));
  const used = new Set<Transport>();
  const [redisUrl] = resolveRedisUrls(given, config);

  function create(name: string, where: string): Transport {
    if (name === 'redis') {
      if (redisUrl === undefined) {
        throw new HoldfastError('HF_CONFIG', `${where} is to publish to Redis, but nothing says where it is.`, {
          advice: 'Give --redis-url, or REDIS_URL in the environment, or redis.url in holdfast.config.ts.',
        });
      }
      const prefix = config.redis?.prefix;
      return bullmqTransport({ connection: redisUrl, onError, ...(prefix === undefined ? {} : { prefix }) });
    }
    if (name === 'postgres') {
      return bullmqPostgresTransport({ connection: database.url ?? {}, onError });
    }
    const names = ['redis', 'postgres', ...made.keys()];
    const near = didYouMean(name, names);
    throw new HoldfastError('HF_CONFIG', `${where} names the transport '${name}', which there is not.`, {
      advice: near === undefined ? `There are: ${names.join(', ')}.` : `Did you mean '${near}'?`,
    });
  }

  return {
    find(wanted, where) {
      const name = wanted ?? (redisUrl === undefined ? null : 'redis');
      if (name === null) {
        throw new HoldfastError('HF_CONFIG', `Nothing says what carries the messages of ${where}.`, {
          advice: 'Give --redis-url for BullMQ on Redis, or --transport postgres for queues in the same database.',
        });
      }
      let transport = typeof name === 'string' ? made.get(name) : name;
      if (transport === undefined || typeof transport.publisher !== 'function') {
        if (typeof name !== 'string') {
          throw new HoldfastError('HF_CONFIG', `The transport of ${where} is not one.`, {
            advice: 'Make it with bullmqTransport(…) or bullmqPostgresTransport(…), or give a name.',
          });
        }
        transport = create(name, where);
        made.set(name, transport);
      }
      used.add(transport);
      return transport;
    },
    all: () => [...used],
  };
}

/**
 * Every setting that flags and environment variables can give: one row each, from which flags, their help, the reading of the
 * environment and docs/operations.md are made.
 */
import { HoldfastError } from '../../errors.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import type { LogLevel } from '../../runtime/json-logger.ts';
import type { Route } from '../../relay/subscription/routes.ts';

export interface Setting<T> {
  readonly flag: string;
  /** The first that is set counts. */
  readonly env: readonly string[];
  readonly help: string;
  /** May be given several times. */
  readonly many?: boolean;
  /** `where` names flag or variable, for errors. */
  readonly parse: (text: string, where: string) => T;
}

const text = (value: string, where: string): string => {
  if (value.trim() === '')
    throw new HoldfastError('HF_CONFIG', `${where} is empty.`, { advice: 'Give a value, or leave it out.' });
  return value;
};

const whole = (value: string, where: string): number => {
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw new HoldfastError('HF_CONFIG', `${where} is ${JSON.stringify(value)}.`, { advice: 'Give a whole number.' });
};

/** Plain digits are milliseconds. */
const duration = (value: string, where: string): Duration => {
  const given = /^\d+$/.test(value) ? Number(value) : (value as Duration);
  parseDuration(given, where);
  return given;
};

const oneOf =
  <T extends string>(...values: readonly T[]) =>
  (value: string, where: string): T => {
    if ((values as readonly string[]).includes(value)) return value as T;
    throw new HoldfastError('HF_CONFIG', `${where} is ${JSON.stringify(value)}.`, {
      advice: `Give one of: ${values.join(', ')}.`,
    });
  };

/** `TOPICS=QUEUE`, topics divided by commas; `QUEUE:ordered` for consumers that keep order. */
export function parseRoute(value: string, where: string): Route {
  const parts = /^([^=]+)=([^=:]+)(:ordered)?$/.exec(value.trim());
  const topics = parts?.[1]?.split(',').map((topic) => topic.trim());
  const to = parts?.[2]?.trim();
  if (topics === undefined || to === undefined || to === '' || topics.includes('')) {
    throw new HoldfastError('HF_CONFIG', `${where} is ${JSON.stringify(value)}, which is not a route.`, {
      advice:
        "Write TOPICS=QUEUE, such as 'order.**=shipping', 'order.paid,order.cancelled=billing' or 'stock.*=stock:ordered'.",
    });
  }
  return { topics, to, ...(parts?.[3] === undefined ? {} : { ordered: true }) };
}

const setting = <T>(flag: string, env: readonly string[], help: string, parse: Setting<T>['parse']): Setting<T> => ({
  flag,
  env,
  help,
  parse,
});

/** For every verb. */
export const COMMON = {
  config: setting(
    '--config <file>',
    ['HOLDFAST_CONFIG'],
    'configuration file (default: holdfast.config.ts, .mts, .js or .mjs here, if there is one)',
    text,
  ),
  databaseUrl: setting(
    '--database-url <url>',
    ['HOLDFAST_DATABASE_URL', 'DATABASE_URL'],
    'PostgreSQL, such as postgres://user@host/db',
    text,
  ),
  database: setting(
    '--database <name>',
    ['HOLDFAST_DATABASE'],
    "one of the configuration's databases (default: all of them, for verbs that can look at several)",
    text,
  ),
  schema: setting('--schema <name>', ['HOLDFAST_SCHEMA'], "schema of the Holdfast tables (default: 'holdfast')", text),
  environment: setting(
    '--environment <name>',
    ['HOLDFAST_ENVIRONMENT'],
    "whose tables these are, such as 'production' (default: known by cluster and database)",
    text,
  ),
} as const;

/** For verbs that ask for, or are, the broker. */
export const BROKER = {
  redisUrl: setting(
    '--redis-url <url>',
    ['HOLDFAST_REDIS_URL', 'REDIS_URL'],
    'Redis that carries messages, such as redis://host:6379',
    text,
  ),
  natsUrl: setting(
    '--nats-url <urls>',
    ['HOLDFAST_NATS_URL', 'NATS_URL'],
    'NATS that carries messages, such as nats://host:4222; several of a cluster with commas between',
    text,
  ),
  rabbitmqUrl: setting(
    '--rabbitmq-url <urls>',
    ['HOLDFAST_RABBITMQ_URL', 'RABBITMQ_URL'],
    'RabbitMQ that carries messages, such as amqp://user@host/vhost; several of a cluster with commas between',
    text,
  ),
} as const;

/** For `holdfast relay`. */
export const RELAY = {
  transport: setting(
    '--transport <name>',
    ['HOLDFAST_TRANSPORT'],
    "redis, redis-streams, nats, rabbitmq, postgres (queues in the same database), or a name of the configuration's transports",
    text,
  ),
  redisReplicas: setting(
    '--redis-replicas <count>',
    ['HOLDFAST_REDIS_REPLICAS'],
    'how many replicas of Redis must have a message before it counts as published (default: 0)',
    whole,
  ),
  subscription: {
    ...setting(
      '--subscription <name>',
      ['HOLDFAST_SUBSCRIPTION'],
      "name of the subscription (default: 'main'); with a configuration file, run only these",
      text,
    ),
    many: true,
  },
  route: {
    ...setting(
      '--route <route>',
      ['HOLDFAST_ROUTES'],
      "which topics go to which queue: 'order.**=shipping'; may be repeated",
      parseRoute,
    ),
    many: true,
  },
  from: setting(
    '--from <where>',
    ['HOLDFAST_FROM'],
    'where a new subscription begins: beginning (default) or now',
    oneOf('beginning', 'now'),
  ),
  shards: setting(
    '--shards <n>',
    ['HOLDFAST_SHARDS'],
    'parts in which the log is read, to share the work (default: 1)',
    whole,
  ),
  batchSize: setting('--batch-size <n>', ['HOLDFAST_BATCH_SIZE'], 'messages per batch (default: 1000)', whole),
  lease: setting(
    '--lease <duration>',
    ['HOLDFAST_LEASE'],
    'how long a takeover takes after a crash (default: 15s)',
    duration,
  ),
  publishTimeout: setting(
    '--publish-timeout <duration>',
    ['HOLDFAST_PUBLISH_TIMEOUT'],
    'how long the broker may take for a batch (default: 10s)',
    duration,
  ),
  idlePoll: setting(
    '--idle-poll <duration>',
    ['HOLDFAST_IDLE_POLL'],
    'longest wait when nothing comes (default: 1s)',
    duration,
  ),
  retention: setting(
    '--retention <duration>',
    ['HOLDFAST_RETENTION'],
    'how long published messages stay for replay (default: 7d)',
    duration,
  ),
  onRefused: setting(
    '--on-refused <policy>',
    ['HOLDFAST_ON_REFUSED'],
    'when a message cannot be published: park-key (default) holds back its key, skip does not',
    oneOf('park-key', 'skip'),
  ),
  failoverReplay: setting(
    '--failover-replay <policy>',
    ['HOLDFAST_FAILOVER_REPLAY'],
    'after a failover or a restore, publish again what went out within this duration (default: 1h); hold waits for `holdfast adopt`, never goes on',
    (value, where) => (value === 'hold' || value === 'never' ? value : duration(value, where)),
  ),
  httpHost: setting(
    '--http-host <address>',
    ['HOLDFAST_HTTP_HOST'],
    'address of /livez, /readyz, /metrics (default: 127.0.0.1; in a container 0.0.0.0)',
    text,
  ),
  httpPort: setting('--http-port <port>', ['HOLDFAST_HTTP_PORT'], 'its port; 0: any free one (default: 9464)', whole),
  shutdownDeadline: setting(
    '--shutdown-deadline <duration>',
    ['HOLDFAST_SHUTDOWN_DEADLINE'],
    'how long work in flight may take after SIGTERM (default: 25s)',
    duration,
  ),
  logLevel: setting<LogLevel>(
    '--log-level <level>',
    ['HOLDFAST_LOG_LEVEL'],
    'trace, debug, info (default), warn, error, fatal or silent',
    oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
  ),
  logFormat: setting(
    '--log-format <format>',
    ['HOLDFAST_LOG_FORMAT'],
    'pretty (default on a terminal) or json',
    oneOf('pretty', 'json'),
  ),
} as const;

/** For the daemons, and for `holdfast alerts`. */
export const ALERTS = {
  alertWebhook: setting(
    '--alert-webhook <url>',
    ['HOLDFAST_ALERT_WEBHOOK'],
    'where alerts are sent, signed; its secret is HOLDFAST_ALERT_WEBHOOK_SECRET in the environment',
    text,
  ),
} as const;

/** For verbs that need the code of sagas. */
export const SAGAS = {
  sagas: setting(
    '--sagas <path>',
    ['HOLDFAST_SAGAS'],
    'folder or file with the sagas (TypeScript or JavaScript)',
    text,
  ),
} as const;

/** For the daemons that run consumers beside sagas: `holdfast start` and `holdfast dev`. */
export const CONSUMERS = {
  consumers: setting(
    '--consumers <path>',
    ['HOLDFAST_CONSUMERS'],
    'folder or file with the consumers and participants that run beside (TypeScript or JavaScript)',
    text,
  ),
} as const;

/** For `holdfast worker`, beside those that it shares with the relay. */
export const WORKER = {
  workerName: setting(
    '--worker-name <name>',
    ['HOLDFAST_WORKER_NAME'],
    'how the worker is called in lists (default: host and process)',
    text,
  ),
  concurrency: setting(
    '--concurrency <n>',
    ['HOLDFAST_CONCURRENCY'],
    'most runs under way at once in this worker',
    whole,
  ),
  repliesFrom: setting(
    '--replies-from <queue>',
    ['HOLDFAST_REPLIES_FROM'],
    "queue with the replies of participants (default: 'saga-replies', when there is a broker)",
    text,
  ),
} as const;

/** For `holdfast dashboard`. */
export const DASHBOARD = {
  host: setting(
    '--host <address>',
    ['HOLDFAST_DASHBOARD_HOST'],
    'address of the dashboard (default: 127.0.0.1); any other needs tokens or a proxy that says who asks',
    text,
  ),
  port: setting('--port <port>', ['HOLDFAST_DASHBOARD_PORT'], 'its port; 0: any free one (default: 9465)', whole),
  basePath: setting(
    '--base-path <path>',
    ['HOLDFAST_DASHBOARD_BASE_PATH'],
    "path at which browsers find it behind a proxy, such as '/ops/holdfast'",
    text,
  ),
} as const;

export const ALL = {
  ...COMMON,
  ...BROKER,
  ...RELAY,
  ...ALERTS,
  ...SAGAS,
  ...CONSUMERS,
  ...WORKER,
  ...DASHBOARD,
} as const;

export type SettingName = keyof typeof ALL;

/** What was given, parsed; where it came from decides between flag and variable, not between them and the file. */
export type Given = {
  readonly [Name in SettingName]?: (typeof ALL)[Name] extends { readonly many: true }
    ? readonly ReturnType<(typeof ALL)[Name]['parse']>[]
    : ReturnType<(typeof ALL)[Name]['parse']>;
};

export interface Inputs {
  /** As commander has them: camel-case names, texts or lists of texts. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Flags over environment. Throws HF_CONFIG or HF_DURATION naming the flag or variable. An empty variable counts as not set. */
export function readGiven({ flags, env }: Inputs, names: readonly SettingName[]): Given {
  const given: Record<string, unknown> = {};
  for (const name of names) {
    const { flag, env: variables, many, parse }: Setting<unknown> = ALL[name];
    const flagName = flag.split(' ')[0] ?? flag;
    const fromFlag = flags[name];
    const variable = variables.find((each) => (env[each] ?? '') !== '');
    let texts: readonly string[] = [];
    let where = flagName;
    if (typeof fromFlag === 'string') texts = [fromFlag];
    else if (Array.isArray(fromFlag)) texts = fromFlag.map(String);
    else if (variable !== undefined) {
      const value = env[variable] ?? '';
      texts = many === true ? value.split(/[;\s]+/).filter((part) => part !== '') : [value];
      where = variable;
    }
    if (texts.length === 0) continue;
    const values = texts.map((each) => parse(each, where));
    given[name] = many === true ? values : values[0];
  }
  return given;
}

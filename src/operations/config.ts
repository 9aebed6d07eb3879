/**
 * What holdfast.config.ts says. Written by users with defineConfig, read by the command line; every key is optional, and flags and
 * environment variables win over it (docs/operations.md).
 */
import type { PayloadCodec } from '../message/codec.ts';
import type { SignaturesOptions, SigningOptions } from '../message/signing.ts';
import type { SubscriptionOptions } from '../relay/subscription/options.ts';
import type { Route } from '../relay/subscription/routes.ts';
import type { Duration } from '../runtime/duration.ts';
import type { LogLevel } from '../runtime/json-logger.ts';
import type { Transport } from '../transport/port.ts';
import type { AlertSettings } from './alerts/options.ts';
import type { OidcAuthenticatorOptions } from './oidc-settings.ts';

/**
 * 'redis' and 'postgres' are BullMQ on what `redis` and `database` say; 'redis-streams' is on that Redis, too; 'nats' and 'rabbitmq' are where
 * flag or environment say. Other names are those of `transports`.
 */
export type TransportName = 'redis' | 'redis-streams' | 'nats' | 'rabbitmq' | 'postgres' | (string & {});

/** A subscription in {@link HoldfastConfig}. */
export interface SubscriptionConfig extends Omit<SubscriptionOptions, 'transport'> {
  /** @defaultValue the `transport` of the whole configuration */
  readonly transport?: Transport | TransportName | undefined;
}

/** What `holdfast worker` runs, and how. */
export interface SagasConfig {
  /** Folder or file, from the working directory. */
  readonly path?: string | undefined;
  /**
   * How the worker is called in lists.
   *
   * @defaultValue host and process
   */
  readonly name?: string | undefined;
  /** Most runs under way at once in one worker. */
  readonly concurrency?: number | undefined;
  /**
   * Most events of one journal. A run that needs more is stuck until it is retried under a higher limit.
   *
   * @defaultValue 10,000
   */
  readonly maxEvents?: number | undefined;
  /**
   * Most UTF-8 bytes of one journal, as above.
   *
   * @defaultValue 64 MiB
   */
  readonly maxJournalBytes?: number | undefined;
  /**
   * How long a takeover takes after a crash.
   *
   * @defaultValue '15s'
   */
  readonly lease?: Duration | undefined;
  /**
   * Where replies of participants come from; false: nowhere.
   *
   * @defaultValue the transport of the whole configuration, if there is one
   */
  readonly replies?:
    | {
        readonly transport?: Transport | TransportName | undefined;
        /**
         * Queue.
         *
         * @defaultValue 'saga-replies'
         */
        readonly destination?: string | undefined;
        /** @defaultValue 'saga.reply' */
        readonly topic?: string | undefined;
        /**
         * By which keys replies are known to come from participants. HOLDFAST_SIGNATURE_KEYS, where it is set, wins over its keys.
         *
         * @defaultValue replies are taken as they come, unless that variable is set
         */
        readonly signatures?: SignaturesOptions | undefined;
      }
    | false
    | undefined;
}

/** What `holdfast dashboard` shows, and to whom. */
export interface DashboardConfig {
  /**
   * Address that it listens on. Another one than this machine's own needs `tokens`, `proxy` or `oidc`.
   *
   * @defaultValue '127.0.0.1'
   */
  readonly host?: string | undefined;
  /**
   * Its port; 0: any free one.
   *
   * @defaultValue 9465
   */
  readonly port?: number | undefined;
  /**
   * The path at which browsers find it behind a proxy, such as '/ops/holdfast'.
   *
   * @defaultValue ''
   */
  readonly basePath?: string | undefined;
  /** Who may log in: `NAME:ROLE:TOKEN`, or `NAME:ROLE:sha256:HASH`; roles are viewer, operator, admin. */
  readonly tokens?: readonly string[] | undefined;
  /** A proxy that says who is asking. */
  readonly proxy?:
    | {
        /** Addresses and ranges that it connects from. */
        readonly from: readonly string[];
        /** @defaultValue 'x-forwarded-user' */
        readonly user?: string | undefined;
        /** @defaultValue 'x-forwarded-groups' */
        readonly groups?: string | undefined;
        /** Roles by group. */
        readonly roles?: Readonly<Record<string, 'viewer' | 'operator' | 'admin'>> | undefined;
        /** Of everybody whom it lets in. */
        readonly everybody?: 'viewer' | 'operator' | 'admin' | undefined;
      }
    | undefined;
  /**
   * An OpenID provider that people log in at. Needs the package openid-client. HOLDFAST_DASHBOARD_OIDC_SECRET, where it is set, wins over
   * `clientSecret`.
   */
  readonly oidc?: OidcAuthenticatorOptions | undefined;
  /** Addresses and ranges of proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed. */
  readonly trustedProxies?: readonly string[] | undefined;
  /** Names by which browsers call it, without ports. */
  readonly hosts?: readonly string[] | undefined;
  /**
   * Payloads are hidden until an operator asks to see one, which the audit records.
   *
   * @defaultValue false
   */
  readonly hidePayloads?: boolean | undefined;
  /**
   * How long a login lasts.
   *
   * @defaultValue '12h'
   */
  readonly sessionTime?: Duration | undefined;
  /** What sessions are signed with, where several processes serve one address: at least 32 characters. */
  readonly sessionKey?: string | undefined;
}

/** One of several databases in {@link HoldfastConfig}. */
export interface NamedDatabaseConfig {
  /** postgres:// URL. */
  readonly url: string | undefined;
  /**
   * Most connections of the pool.
   *
   * @defaultValue 5
   */
  readonly max?: number | undefined;
  /**
   * Schema of the Holdfast tables.
   *
   * @defaultValue the `schema` of the whole configuration
   */
  readonly schema?: string | undefined;
  /**
   * Whose tables these are.
   *
   * @defaultValue the `environment` of the whole configuration
   */
  readonly environment?: string | undefined;
}

/** What holdfast.config.ts says. See {@link defineConfig}. */
export interface HoldfastConfig {
  readonly database?:
    | {
        /**
         * postgres:// URL.
         *
         * @defaultValue the PG* variables of the environment, as psql has them
         */
        readonly url?: string | undefined;
        /**
         * Most connections of the pool, beside two for each subscription and shard.
         *
         * @defaultValue 5
         */
        readonly max?: number | undefined;
      }
    | undefined;
  /**
   * Several databases, by names of small letters, digits, - and _: each that of a service. Verbs that look at several look at all of them;
   * others are told which one by `--database NAME`. In place of `database`.
   *
   * @defaultValue none
   */
  readonly databases?: Readonly<Record<string, NamedDatabaseConfig>> | undefined;
  /**
   * Schema of the Holdfast tables.
   *
   * @defaultValue 'holdfast'
   */
  readonly schema?: string | undefined;
  /**
   * Whose tables these are, such as 'production': a copy of them is refused.
   *
   * @defaultValue known by cluster and database
   */
  readonly environment?: string | undefined;
  readonly redis?:
    | {
        /** `redis://…`, `redis+cluster://host:port,host:port` or `redis+sentinel://host:port,host:port/NAME`; with TLS `rediss…`. */
        readonly url?: string | undefined;
        /**
         * Prefix of the Redis keys of queues, the same for all that publish and consume.
         *
         * @defaultValue 'holdfast'
         */
        readonly prefix?: string | undefined;
        /**
         * How many replicas of Redis must have a message before it counts as published, for the transports 'redis' (at most 10) and
         * 'redis-streams'.
         *
         * @defaultValue 0: a failover may lose what was published in the last moments before
         */
        readonly replicas?: number | undefined;
      }
    | undefined;
  /**
   * What carries messages.
   *
   * @defaultValue 'redis' when there is a Redis URL
   */
  readonly transport?: Transport | TransportName | undefined;
  /** Transports that subscriptions call by name. */
  readonly transports?: Readonly<Record<string, Transport>> | undefined;
  /**
   * With which key relays sign, for subscriptions that do not say so themselves. HOLDFAST_SIGNING_KEYS, where it is set, wins over it.
   *
   * @defaultValue messages are not signed
   */
  readonly signing?: SigningOptions | undefined;
  /**
   * Makes the values of the worker's runs unreadable where they are kept: see `codec` of {@link WorkerOptions}. HOLDFAST_PAYLOAD_KEYS, where it
   * is set, wins over it.
   *
   * @defaultValue values are kept as they are
   */
  readonly codec?: PayloadCodec | undefined;
  /** For a relay with a single subscription, 'main': its routes. */
  readonly routes?: readonly Route[] | undefined;
  readonly subscriptions?: readonly SubscriptionConfig[] | undefined;
  /** Where the sagas are, or that and how they are run. */
  readonly sagas?: string | SagasConfig | undefined;
  /**
   * Folder or file, from the working directory, whose modules export consumers and participants. `holdfast start` and `holdfast dev` run
   * them beside the sagas.
   *
   * @defaultValue none: they run in processes of your own
   */
  readonly consumers?: string | undefined;
  /**
   * What the daemons watch for, and whom they tell; `{}` for the log alone. The processes of one database should have the same.
   *
   * @defaultValue none, unless a webhook is given
   */
  readonly alerts?: AlertSettings | false | undefined;
  /**
   * Where /livez, /readyz and /metrics are. False: nowhere.
   *
   * @defaultValue port 9464 on all addresses
   */
  readonly http?: { readonly host?: string | undefined; readonly port?: number | undefined } | false | undefined;
  /** What `holdfast dashboard` shows, and to whom. */
  readonly dashboard?: DashboardConfig | undefined;
  readonly log?:
    | {
        /** @defaultValue 'info' */
        readonly level?: LogLevel | undefined;
        /** @defaultValue 'pretty' on a terminal, 'json' elsewhere */
        readonly format?: 'pretty' | 'json' | undefined;
      }
    | undefined;
  readonly shutdown?:
    | {
        /**
         * How long work in flight may take after SIGTERM before it is cut off.
         *
         * @defaultValue '25s'
         */
        readonly deadline?: Duration | undefined;
      }
    | undefined;
  /**
   * Fields of payloads that are not shown: paths from the top of a payload, `customer.email`. `*` stands for one name, `**` for any number
   * of them; a path goes through lists by itself. Holds for what the command line shows of messages and runs, and for the details of
   * errors in the log of its daemons. HF_CONFIG for what is no path.
   *
   * @defaultValue none
   * @example
   * ['customer.email', 'card.*', '**.password']
   */
  readonly redact?: readonly string[] | undefined;
  /** What a relay or worker with /metrics asks the doctor, for `holdfast_doctor_findings`. False: nothing. */
  readonly doctor?:
    | {
        /**
         * How often, '10s' at the least.
         *
         * @defaultValue '5m'
         */
        readonly interval?: Duration | undefined;
      }
    | false
    | undefined;
}

/**
 * Gives a configuration its type: `export default defineConfig({ … })`. It is checked when it is loaded.
 *
 * @example
 * export default defineConfig({
 *   database: { url: process.env['DATABASE_URL'] },
 *   redis: { url: process.env['REDIS_URL'] },
 *   routes: [{ topics: 'order.*', to: 'billing' }],
 * });
 */
export function defineConfig(config: HoldfastConfig): HoldfastConfig {
  return config;
}

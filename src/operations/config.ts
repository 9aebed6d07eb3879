/**
 * What holdfast.config.ts says. Written by users with defineConfig, read by the command line; every key is optional, and flags and
 * environment variables win over it (docs/operations.md).
 */
import type { SubscriptionOptions } from '../relay/subscription/options.ts';
import type { Route } from '../relay/subscription/routes.ts';
import type { Duration } from '../runtime/duration.ts';
import type { LogLevel } from '../runtime/json-logger.ts';
import type { Transport } from '../transport/port.ts';

/** 'redis' and 'postgres' are BullMQ on what `redis` and `database` say; other names are those of `transports`. */
export type TransportName = 'redis' | 'postgres' | (string & {});

export interface SubscriptionConfig extends Omit<SubscriptionOptions, 'transport'> {
  /** Default: the `transport` of the whole configuration. */
  readonly transport?: Transport | TransportName | undefined;
}

/** What `holdfast worker` runs, and how. */
export interface SagasConfig {
  /** Folder or file, from the working directory. */
  readonly path?: string | undefined;
  /** How the worker is called in lists. Default: host and process. */
  readonly name?: string | undefined;
  /** Most runs under way at once in one worker. */
  readonly concurrency?: number | undefined;
  /** Most events of one journal; default 10,000. A run that needs more is stuck until it is retried under a higher limit. */
  readonly maxEvents?: number | undefined;
  /** Most UTF-8 bytes of one journal, as above; default 64 MiB. */
  readonly maxJournalBytes?: number | undefined;
  /** How long a takeover takes after a crash. Default '15s'. */
  readonly lease?: Duration | undefined;
  /** Where replies of participants come from; false: nowhere. Default: the transport of the whole configuration, if there is one. */
  readonly replies?:
    | {
        readonly transport?: Transport | TransportName | undefined;
        /** Queue. Default 'saga-replies'. */
        readonly destination?: string | undefined;
        /** Default 'saga.reply'. */
        readonly topic?: string | undefined;
      }
    | false
    | undefined;
}

export interface HoldfastConfig {
  readonly database?:
    | {
        /** postgres:// URL. Default: the PG* variables of the environment, as psql has them. */
        readonly url?: string | undefined;
        /** Most connections of the pool, beside two for each subscription and shard. Default 5. */
        readonly max?: number | undefined;
      }
    | undefined;
  /** Schema of the Holdfast tables. Default 'holdfast'. */
  readonly schema?: string | undefined;
  /** Whose tables these are, such as 'production': a copy of them is refused. Default: known by cluster and database. */
  readonly environment?: string | undefined;
  readonly redis?:
    | {
        /** redis:// or rediss:// URL. */
        readonly url?: string | undefined;
        /** Prefix of the Redis keys of queues, the same for all that publish and consume. Default 'holdfast'. */
        readonly prefix?: string | undefined;
      }
    | undefined;
  /** What carries messages. Default 'redis' when there is a Redis URL. */
  readonly transport?: Transport | TransportName | undefined;
  /** Transports that subscriptions call by name. */
  readonly transports?: Readonly<Record<string, Transport>> | undefined;
  /** For a relay with a single subscription, 'main': its routes. */
  readonly routes?: readonly Route[] | undefined;
  readonly subscriptions?: readonly SubscriptionConfig[] | undefined;
  /** Where the sagas are, or that and how they are run. */
  readonly sagas?: string | SagasConfig | undefined;
  /** Where /livez, /readyz and /metrics are. Default port 9464 on all addresses; false: nowhere. */
  readonly http?: { readonly host?: string | undefined; readonly port?: number | undefined } | false | undefined;
  readonly log?:
    | {
        /** Default 'info'. */
        readonly level?: LogLevel | undefined;
        /** Default 'pretty' on a terminal, 'json' elsewhere. */
        readonly format?: 'pretty' | 'json' | undefined;
      }
    | undefined;
  readonly shutdown?:
    | {
        /** How long work in flight may take after SIGTERM before it is cut off. Default '25s'. */
        readonly deadline?: Duration | undefined;
      }
    | undefined;
}

/** Gives a configuration its type: `export default defineConfig({ … })`. It is checked when it is loaded. */
export function defineConfig(config: HoldfastConfig): HoldfastConfig {
  return config;
}

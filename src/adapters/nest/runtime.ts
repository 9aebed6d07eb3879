/**
 * Holdfast in a Nest application: what it consists of, from the options and from what was discovered, and when it starts and stops.
 */
import type {
  OnApplicationBootstrap,
  OnApplicationShutdown,
  BeforeApplicationShutdown,
  OnModuleInit,
} from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { HoldfastError } from '../../errors.ts';
import type { Runner } from '../../postgres/runner.ts';
import { createOutbox, type Outbox } from '../../outbox/outbox.ts';
import type { Database } from '../../postgres/database.ts';
import type { Duration } from '../../runtime/duration.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { Service } from '../../runtime/service.ts';
import { createSagas, type Sagas } from '../../saga/client/client.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import { createWorker, type WorkerOptions } from '../../saga/worker/worker.ts';
import type { Transport } from '../../transport/port.ts';
import type { CommonHttpIdempotencyOptions } from '../http/http-idempotency.ts';
import type { GroupHealth } from '../services/group-health.ts';
import { createServiceGroup, type ServiceGroup } from '../services/service-group.ts';
import { discover } from './discover.ts';

/** Options of `HoldfastModule`. */
export interface HoldfastModuleOptions {
  /** Where the tables of Holdfast are. */
  readonly database: Database;
  /**
   * How to open a transaction with your ORM: then handlers of messages, of commands and of requests with idempotency keys get what it opens.
   *
   * @defaultValue through `database`: they get a PoolClient
   */
  readonly runner?: Runner<unknown> | undefined;
  /** Of consumers and participants that have none of their own. */
  readonly transport?: Transport | undefined;
  /** @defaultValue an outbox of its own in the schema of `database` */
  readonly outbox?: Outbox | undefined;
  /** Beside those with `@SagaDefinition`. */
  readonly sagas?: readonly AnySaga[] | undefined;
  /**
   * Options of the worker that runs the sagas. false: this process only starts them.
   *
   * @defaultValue a worker, when there are sagas
   */
  readonly worker?: Omit<WorkerOptions, 'database' | 'sagas'> | false | undefined;
  /** What else starts and stops with the application, before all of these: a relay. */
  readonly services?: readonly Service[] | undefined;
  /** Of requests with `@Idempotent`. */
  readonly idempotency?: CommonHttpIdempotencyOptions | undefined;
  /**
   * After this long a stop is hard: work in flight is aborted, and done again later.
   *
   * @defaultValue '10s'
   */
  readonly stopTimeout?: Duration | undefined;
  /**
   * Whether `database` is closed at the end, after the last request.
   *
   * @defaultValue true
   */
  readonly closeDatabase?: boolean | undefined;
}

const KNOWN = [
  'database',
  'runner',
  'transport',
  'outbox',
  'sagas',
  'worker',
  'services',
  'idempotency',
  'stopTimeout',
  'closeDatabase',
];

/** What is there from when all providers are made. */
interface Parts {
  readonly group: ServiceGroup;
  readonly sagas: Sagas;
}

export class HoldfastRuntime
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  readonly outbox: Outbox;
  readonly options: HoldfastModuleOptions;
  readonly #modules: ModulesContainer;
  #parts: Parts | null = null;

  /** @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN */
  constructor(options: HoldfastModuleOptions, modules: ModulesContainer) {
    refuseUnknownOptions(options, KNOWN, 'HoldfastModule');
    if (typeof options.database?.transaction !== 'function')
      throw badOption('HoldfastModule', 'has no database', 'Give database: openDatabase({ url }).');
    this.options = options;
    this.outbox = options.outbox ?? createOutbox({ schema: options.database.schema });
    this.#modules = modules;
  }

  /** By the time that hooks run, all providers are made. */
  onModuleInit(): void {
    const { database, runner, transport, sagas: given = [], worker = {}, services = [], stopTimeout } = this.options;
    const found = discover(this.#modules, {
      database,
      runner: runner ?? null,
      outbox: this.outbox,
      transport: transport ?? null,
    });
    const sagas = [...new Set([...given, ...found.sagas])];
    const workers = worker === false || sagas.length === 0 ? [] : [createWorker({ ...worker, database, sagas })];
    this.#parts = {
      // Not the worker's own: it stops before the last requests are answered.
      sagas: createSagas({ database, sagas }),
      group: createServiceGroup({ database, services: [...services, ...workers, ...found.services], stopTimeout }),
    };
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.#made().group.start();
  }

  /** While the server still answers what it has begun with. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.#parts?.group.stop();
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.options.closeDatabase !== false) await this.options.database.close();
  }

  ready(): Promise<GroupHealth> {
    return this.#made().group.ready();
  }

  live(): Promise<GroupHealth> {
    return this.#made().group.live();
  }

  /** For constructors, which run before the sagas are known: asks for them with each call. */
  lazySagas(): Sagas {
    const made = (): Sagas => this.#made().sagas;
    return {
      start: (...given: Parameters<Sagas['start']>) => made().start(...given),
      handle: (saga, id) => made().handle(saga, id),
      find: (saga, key) => made().find(saga, key),
      byName: (name, version) => made().byName(name, version),
    };
  }

  #made(): Parts {
    if (this.#parts !== null) return this.#parts;
    throw new HoldfastError(
      'HF_CONFIG',
      'Holdfast was asked for something before the modules of the application were initialised.',
      {
        advice: 'Start sagas from onApplicationBootstrap on, not in constructors.',
      },
    );
  }
}

/**
 * `holdfast/nest`: a module for NestJS. Outbox and sagas are injected, handlers and sagas are found by their decorators, and all of it starts
 * and stops with the application.
 */
import type { DynamicModule, FactoryProvider, ModuleMetadata, Provider } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { createHttpIdempotency } from '../http/http-idempotency.ts';
import { HoldfastHealth } from './health.ts';
import { HoldfastRuntime, type HoldfastModuleOptions } from './runtime.ts';
import {
  HOLDFAST_DATABASE,
  HOLDFAST_IDEMPOTENCY,
  HOLDFAST_OPTIONS,
  HOLDFAST_OUTBOX,
  HOLDFAST_SAGAS,
} from './tokens.ts';

export {
  HandleCommand,
  MessageConsumer,
  OnMessage,
  SagaDefinition,
  SagaParticipant,
  type CommandDecorator,
  type Constructor,
  type MessageConsumerOptions,
  type MethodOf,
  type SagaParticipantOptions,
} from './declarations.ts';
export { HoldfastHealth, type HoldfastHealthResult } from './health.ts';
export {
  Idempotent,
  IdempotentTransaction,
  type IdempotentRouteOptions,
  type NestHttpRequest,
} from './idempotent-route.ts';
export type { HoldfastModuleOptions } from './runtime.ts';
export {
  HOLDFAST_DATABASE,
  HOLDFAST_IDEMPOTENCY,
  HOLDFAST_OUTBOX,
  HOLDFAST_SAGAS,
  InjectDatabase,
  InjectOutbox,
  InjectSagas,
} from './tokens.ts';

/** Options of `HoldfastModule.forRootAsync`. */
export interface HoldfastModuleAsyncOptions {
  readonly imports?: ModuleMetadata['imports'] | undefined;
  /** Tokens of what `useFactory` is given. */
  readonly inject?: FactoryProvider['inject'] | undefined;
  readonly useFactory: (...injected: never[]) => HoldfastModuleOptions | Promise<HoldfastModuleOptions>;
}

/**
 * Import it once, in the root module. It is global: everywhere `@InjectOutbox()`, `@InjectSagas()` and `@InjectDatabase()` can be used, and
 * HoldfastHealth be injected.
 *
 * Consumers, participants and sagas are found in all providers of the application, and start when it has been initialised
 * (onApplicationBootstrap); they stop before the server does (beforeApplicationShutdown), and the database is closed after it
 * (onApplicationShutdown). Call `app.enableShutdownHooks()` so that a SIGTERM leads there.
 *
 * @example
 * const holdfast = HoldfastModule.forRoot({ database: openDatabase({ url: process.env['DATABASE_URL'] }), transport });
 * // @Module({ imports: [holdfast], providers: [Orders, Shipping] })
 */
export class HoldfastModule {
  /** @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN when the application is made */
  static forRoot(options: HoldfastModuleOptions): DynamicModule {
    return moduleOf({ provide: HOLDFAST_OPTIONS, useValue: options }, []);
  }

  /** With options that come from other providers, such as a configuration, or the connection of an ORM. */
  static forRootAsync({ imports = [], inject = [], useFactory }: HoldfastModuleAsyncOptions): DynamicModule {
    return moduleOf(
      { provide: HOLDFAST_OPTIONS, inject, useFactory: useFactory as FactoryProvider['useFactory'] },
      imports,
    );
  }
}

function moduleOf(options: Provider, imports: NonNullable<ModuleMetadata['imports']>): DynamicModule {
  const of = (token: symbol | typeof HoldfastHealth, make: (runtime: HoldfastRuntime) => unknown): FactoryProvider => ({
    provide: token,
    inject: [HoldfastRuntime],
    useFactory: make,
  });
  const shared = [
    of(HOLDFAST_DATABASE, (runtime) => runtime.options.database),
    of(HOLDFAST_OUTBOX, (runtime) => runtime.outbox),
    of(HOLDFAST_SAGAS, (runtime) => runtime.lazySagas()),
    of(HOLDFAST_IDEMPOTENCY, ({ options: { database, runner, idempotency } }) =>
      runner === undefined
        ? createHttpIdempotency({ ...idempotency, database })
        : createHttpIdempotency({ ...idempotency, runner, schema: database.schema }),
    ),
    of(HoldfastHealth, (runtime) => new HoldfastHealth(runtime)),
  ];
  const runtime: FactoryProvider = {
    provide: HoldfastRuntime,
    inject: [HOLDFAST_OPTIONS, ModulesContainer],
    useFactory: (given: HoldfastModuleOptions, modules: ModulesContainer) => new HoldfastRuntime(given, modules),
  };
  return {
    module: HoldfastModule,
    global: true,
    imports,
    providers: [options, runtime, ...shared],
    exports: shared.map(({ provide }) => provide),
  };
}

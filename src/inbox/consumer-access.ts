/**
 * How a consumer gets at its database: through a Database of Holdfast's, or through the runner of a client or ORM of the user's.
 */
import type { PoolClient } from 'pg';
import type { Database } from '../postgres/database.ts';
import { assertSchemaName, DEFAULT_SCHEMA } from '../postgres/quoting.ts';
import { checkRunner } from '../postgres/runner.ts';
import { systemClock } from '../runtime/clock.ts';
import { noCrash, type CrashPoint } from '../runtime/crash-point.ts';
import { createDeadlines, type Deadlines } from '../runtime/deadlines.ts';
import { badOption } from '../runtime/options.ts';
import type { CommonConsumerOptions, DatabaseConsumerOptions, RunnerConsumerOptions } from './consumer-options.ts';
import { whereOf } from './consumer-settings.ts';
import type { ConsumerStores, DeliveryWatch } from './delivery/consumer-context.ts';
import type { RunBatch } from './handlers/batch-work.ts';
import { runPostgresBatch } from './handlers/postgres-batch.ts';
import { createPostgresUnitOfWork } from './handlers/postgres-unit-of-work.ts';
import { createRunnerUnitOfWork } from './handlers/runner-unit-of-work.ts';
import { guardCrashPoint, type UnitOfWork } from './handlers/unit-of-work.ts';
import { createInboxStore } from './stores/inbox-store.ts';
import { createParkedDeliveryStore } from './stores/parked-delivery-store.ts';
import { createSuspectStore } from './stores/suspect-store.ts';

/** How a consumer gets at its database. */
export interface ConsumerAccess<Tx> {
  readonly work: UnitOfWork<Tx>;
  readonly stores: ConsumerStores;
  /** Both null for a consumer with a runner. */
  readonly runBatch: RunBatch<Tx> | null;
  readonly database: Database | null;
  readonly deadlines: Deadlines;
  readonly crash: CrashPoint;
  /** null: nobody looks on. */
  readonly watch: DeliveryWatch | null;
}

/** @throws HoldfastError HF_CONFIG */
export function runnerAccess<Tx>(name: string, options: RunnerConsumerOptions<Tx>): ConsumerAccess<Tx> {
  const { runner, schema = DEFAULT_SCHEMA } = options;
  checkRunner(whereOf(name), runner);
  const tools = toolsOf(options);
  const work = createRunnerUnitOfWork({ runner, schema: assertSchemaName(schema), crash: tools.crash });
  return { ...tools, work, stores: storesOf(work.schema, name), runBatch: null, database: null, watch: null };
}

/** @throws HoldfastError HF_CONFIG */
export function databaseAccess(name: string, options: DatabaseConsumerOptions): ConsumerAccess<PoolClient> {
  const { database } = options;
  if (typeof database?.transaction !== 'function')
    throw badOption(whereOf(name), 'has no database', 'Give database: openDatabase({ url }), or a runner.');
  const tools = toolsOf(options);
  const given = { database, ...tools };
  const runBatch: RunBatch<PoolClient> = (opening, body, limits) => runPostgresBatch(given, opening, body, limits);
  const stores = storesOf(database.schema, name);
  return { ...tools, work: createPostgresUnitOfWork(given), stores, runBatch, database, watch: null };
}

function storesOf(schema: string, name: string): ConsumerStores {
  return {
    inbox: createInboxStore(schema, name),
    parked: createParkedDeliveryStore(schema, name),
    suspects: createSuspectStore(schema, name),
  };
}

function toolsOf(options: CommonConsumerOptions): { readonly crash: CrashPoint; readonly deadlines: Deadlines } {
  return {
    crash: guardCrashPoint(options.crashPoint ?? noCrash),
    deadlines: createDeadlines(options.clock ?? systemClock),
  };
}

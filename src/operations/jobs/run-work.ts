/**
 * What a job on runs does in one chunk: the next runs by id, and each of them as a person would act on it alone, with its own row of the
 * audit. A run that has moved on refuses, which is no failure.
 */
import { sql } from 'kysely';
import type { ClientBase } from 'pg';
import { isHoldfastError, type ErrorCode } from '../../errors.ts';
import { schemaHandle, type SchemaHandle } from '../../postgres/schema-handle.ts';
import { rows } from '../reads/reads.ts';
import { cancelRun, resolveCall, retryRun, skipCall, type ReasonedAct } from '../sagas/saga-interventions.ts';
import type { JobAct, JobExample } from './job.ts';
import { matchingRuns, type RunActKind } from './run-selection.ts';
import type { JobWork } from './job-work.ts';

export type RunJobAct = Extract<JobAct, { readonly kind: `saga.${string}` }>;

const MOVED_ON: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'HF_NOT_FOUND',
  'HF_SAGA_FINISHED',
  'HF_SAGA_PIVOTED',
  'HF_SAGA_NOT_STUCK',
  // It is stuck at something that cannot be resolved so.
  'HF_CONFIG',
]);

export function runActKind(act: RunJobAct): RunActKind {
  return act.kind.slice('saga.'.length) as RunActKind;
}

export function runWork(act: RunJobAct): JobWork {
  return {
    async pick(client, { schema, job, position, only, limit }) {
      const database = schemaHandle(client, schema);
      // A run that gets stuck later is not meant, though it was started before: so for these its last change counts.
      const since = sql.ref(act.kind === 'saga.cancel' ? 'r.started_at' : 'r.updated_at');
      let query = matchingRuns(database, runActKind(act), act.select)
        .select('r.id')
        .where(sql<boolean>`${since} <= (select created_at from ${sql.id(schema, 'operation_job')} where id = ${job})`)
        .orderBy('r.id')
        .limit(limit);
      if (only !== null)
        query = query.where(
          'r.id',
          'in',
          only.map(({ at }) => at),
        );
      else if (position !== null) query = query.where('r.id', '>', position.at);
      const found = await rows(database, query);
      return found.map(({ id }) => ({ subject: id, position: { part: 'run', where: '', at: id } }));
    },

    async act(client: ClientBase, schema, { job, picked }) {
      const database = schemaHandle(client, schema);
      const { actor, reason } = job;
      const passedOver: JobExample[] = [];
      for (const { subject } of picked) {
        try {
          // One after the other: they are statements of one transaction.
          // oxlint-disable-next-line no-await-in-loop
          await actOn(database, subject, act, { actor, reason, bulk: job.id });
        } catch (error) {
          if (!isHoldfastError(error) || !MOVED_ON.has(error.code)) throw error;
          passedOver.push({ subject, code: error.code, message: error.message });
        }
      }
      return { done: picked.length - passedOver.length, passedOver };
    },
  } satisfies JobWork;
}

async function actOn(
  database: SchemaHandle,
  id: string,
  act: RunJobAct,
  by: ReasonedAct & { readonly bulk: string },
): Promise<void> {
  switch (act.kind) {
    case 'saga.retry':
      await retryRun(database, id, by);
      return;
    case 'saga.cancel':
      await cancelRun(database, id, by);
      return;
    case 'saga.skip':
      await skipCall(database, id, null, by);
      return;
    case 'saga.resolve':
      await resolveCall(database, id, act.resolution, by);
  }
}

/**
 * How long marks are kept: pruning, and the check at start that a mark outlives every duplicate that can still come. Otherwise the effect of
 * a late duplicate would be repeated.
 */
import { HoldfastError } from '../../errors.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { longestRetryMs, PARK_REASONS } from '../handlers/decide.ts';
import type { ResolvedHandler } from '../handlers/handler.ts';
import { inPacedChunks } from '../../runtime/paced.ts';
import { pruneIdempotencyKeys } from '../idempotency/idempotency.ts';
import type { ConsumerContext } from './consumer-context.ts';

export const DEFAULT_RETENTION = '14d';
/** Assumed when neither an option nor a subscription in the same database tells: the outbox's default retention. */
export const ASSUMED_HORIZON_MS = 7 * 86_400_000;
/** Replies for runs that are not here are kept as long as marks, and no more than this many: who sends them is not in our hands. */
const MOST_STRAYS = 10_000;
/**
 * Rows per transaction: short, so that pruning holds no snapshot that keeps vacuum waiting; and enough of them, because each chunk goes past
 * the places of all that the chunks before it have deleted.
 */
export const INBOX_PRUNE_CHUNK = 5_000;

export interface RetentionFacts {
  readonly consumer: string;
  readonly retentionMs: number;
  readonly horizonMs: number;
  /** The longest that in-place retries can spread over. */
  readonly retriesMs: number;
}

/** null, or the error to refuse the start with. */
export function checkInboxRetention({
  consumer,
  retentionMs,
  horizonMs,
  retriesMs,
}: RetentionFacts): HoldfastError | null {
  const neededMs = horizonMs + retriesMs;
  if (retentionMs > neededMs) return null;
  return new HoldfastError(
    'HF_INBOX_RETENTION',
    `Consumer ${consumer} keeps its inbox for ${days(retentionMs)}, but a message can come again for ${days(neededMs)}: redelivery horizon ${days(horizonMs)}, retries ${days(retriesMs)}.`,
    {
      advice: 'Raise retention, or set redeliveryHorizon if the outbox keeps its messages for a shorter time.',
      details: { retentionMs, horizonMs, retriesMs },
    },
  );
}

/** The longest time that the attempts of these handlers, in place, can be spread over; handling included. In milliseconds. */
export function longestRetriesMs<Tx>(handlers: readonly ResolvedHandler<Tx>[]): number {
  return Math.max(
    0,
    ...handlers.map(
      ({ retry, timeoutMs }) =>
        longestRetryMs(retry) + (Number.isFinite(retry.attempts) ? retry.attempts * timeoutMs : 0),
    ),
  );
}

function days(ms: number): string {
  return ms >= 86_400_000 ? `${+(ms / 86_400_000).toFixed(2)} d` : `${+(ms / 1000).toFixed(1)} s`;
}

/**
 * The longest retention of the subscriptions in the same database, in milliseconds: so long can a message be replayed from the log.
 * null when there are none. Asked through a function of the schema, because the table is the relay's.
 */
export async function readRedeliveryHorizon(execute: SqlExecutor, schema: string): Promise<number | null> {
  const rows = await execute(`SELECT ${quoteIdentifier(schema)}.redelivery_horizon_ms()::text AS horizon`, []);
  const horizon = rows[0]?.['horizon'] as string | null | undefined;
  return horizon === null || horizon === undefined ? null : Number(horizon);
}

/** Prunes marks, attempts and idempotency keys, chunk by chunk, until nothing old is left or `signal` aborts. */
export async function pruneInbox<Tx>(
  context: ConsumerContext<Tx>,
  idempotencyRetentionMs: number,
  signal: AbortSignal,
): Promise<number> {
  let pruned = 0;
  const chunks = (step: (execute: SqlExecutor) => Promise<number>): Promise<void> =>
    inPacedChunks(context.clock, context.stopping(), async () => {
      if (signal.aborted) return false;
      const count = await context.work.transaction(step);
      pruned += count;
      return count === INBOX_PRUNE_CHUNK;
    });
  await chunks((execute) => context.inbox.prune(execute, context.retentionMs, INBOX_PRUNE_CHUNK));
  await chunks((execute) =>
    pruneIdempotencyKeys(execute, {
      olderThan: idempotencyRetentionMs,
      limit: INBOX_PRUNE_CHUNK,
      schema: context.work.schema,
    }),
  );
  const before = pruned;
  const strays = {
    reason: PARK_REASONS.noRun,
    olderThanMs: context.retentionMs,
    most: MOST_STRAYS,
    limit: INBOX_PRUNE_CHUNK,
  };
  await chunks((execute) => context.parked.prune(execute, strays));
  if (pruned > before)
    context.log.warn(
      { pruned: pruned - before },
      'parked replies for runs that are not here were kept long enough: deleted',
    );
  await context.work.transaction((execute) => context.suspects.prune(execute, context.retentionMs));
  return pruned;
}

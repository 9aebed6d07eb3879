/**
 * Deletes stored answers that are old enough: a service that answers requests need not have a consumer, which prunes as well.
 */
import { pruneIdempotencyKeys } from '../../inbox/idempotency/idempotency.ts';
import type { UnitOfWork } from '../../inbox/handlers/unit-of-work.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { inNoContext } from '../../runtime/scope.ts';

const EVERY_MS = 60_000;
const CHUNK = 1_000;
/** Of one round. The rest waits for the next one. */
const MOST_CHUNKS = 100;

export interface KeyPruner {
  /** Deletes in the background, when it is time. */
  remind(): void;
  prune(): Promise<number>;
}

export interface KeyPrunerOptions<Tx> {
  readonly work: Pick<UnitOfWork<Tx>, 'schema' | 'transaction'>;
  readonly retentionMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export function createKeyPruner<Tx>({ work, retentionMs, clock, log }: KeyPrunerOptions<Tx>): KeyPruner {
  let nextMs = clock.monotonic() + EVERY_MS;

  async function prune(): Promise<number> {
    let pruned = 0;
    for (let chunk = 0; chunk < MOST_CHUNKS; chunk += 1) {
      const gone = await work.transaction((execute) =>
        pruneIdempotencyKeys(execute, { olderThan: retentionMs, limit: CHUNK, schema: work.schema }),
      );
      pruned += gone;
      if (gone < CHUNK) break;
    }
    return pruned;
  }

  return {
    prune,
    remind() {
      if (clock.monotonic() < nextMs) return;
      nextMs = clock.monotonic() + EVERY_MS;
      // Not in the context of the request that happened to come by. What fails now is done the next time.
      void inNoContext(prune).catch((error: unknown) =>
        log.warn({ err: error }, 'old idempotency keys were not pruned'),
      );
    },
  };
}

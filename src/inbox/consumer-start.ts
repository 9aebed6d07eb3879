/**
 * Checks when a consumer starts: the database is fit, marks are kept for long enough, and the name belongs to this consumer.
 */
import { askingAgain } from '../postgres/asking-again.ts';
import type { Database } from '../postgres/database.ts';
import { checkStart } from '../postgres/start-checks.ts';
import type { ConsumerSettings } from './consumer-settings.ts';
import type { ConsumerContext } from './delivery/consumer-context.ts';
import {
  ASSUMED_HORIZON_MS,
  checkInboxRetention,
  longestRetriesMs,
  readRedeliveryHorizon,
} from './delivery/retention.ts';
import { assertIdentity } from './stores/consumer-identity.ts';

/** @param database null for a consumer with a runner */
export async function checkConsumerStart<Tx>(
  context: ConsumerContext<Tx>,
  settings: ConsumerSettings<Tx>,
  database: Database | null,
): Promise<void> {
  const { log } = context;
  if (database !== null) await checkStart(database, log);
  await askingAgain(log, () => checkMarksLast(context, settings.redeliveryHorizonMs));
  const identity = {
    consumer: context.name,
    destination: settings.destination,
    former: settings.formerDestinations,
    retentionMs: context.retentionMs,
    broker: settings.transport.address ?? null,
  };
  const differs = await askingAgain(log, () =>
    assertIdentity((fn) => context.work.transaction(fn), context.suspects, identity),
  );
  if (differs.length > 0)
    log.warn(
      { differs },
      'the process of this consumer that was started last was told otherwise: give all of them the same',
    );
  if (context.ordered) await context.firstRunMs();
}

/** A mark must outlive every duplicate that can still come. */
async function checkMarksLast<Tx>(context: ConsumerContext<Tx>, horizonMs: number | null): Promise<void> {
  const { work, log } = context;
  const knownMs = horizonMs ?? (await work.transaction((execute) => readRedeliveryHorizon(execute, work.schema)));
  if (knownMs === null)
    log.info(
      { assumedMs: ASSUMED_HORIZON_MS },
      'redelivery horizon not known: set redeliveryHorizon to the retention of the outbox',
    );
  const refusal = checkInboxRetention({
    consumer: context.name,
    retentionMs: context.retentionMs,
    horizonMs: knownMs ?? ASSUMED_HORIZON_MS,
    retriesMs: longestRetriesMs([...context.handlers.values()]),
  });
  if (refusal !== null) throw refusal;
}

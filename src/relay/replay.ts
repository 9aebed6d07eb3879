/**
 * Works off replays page by page, between pages of the live log, so that neither starves the other. Used by the subscription runner.
 */
import { publishEntries, type DeliveryContext } from './delivery.ts';
import { advanceReplay, openReplay } from './replay-store.ts';
import type { Session } from './session.ts';

/** One page of the oldest open replay. Resolves with whether there is more to do. */
export async function replayPage(
  context: DeliveryContext,
  session: Session,
  schema: string,
  limit: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { subscription, log, crashPoint } = context;
  const replay = await openReplay(session.writeClient, schema, subscription.name);
  if (replay === null) return false;
  const { topic, key, toSeq } = replay;
  const { entries, next } = await session.reader.range({ fromSeq: replay.position, toSeq, topic, key, limit });
  const { refused, unrouted } = await publishEntries(context, session, entries, signal, { replayId: replay.id });
  for (const [entry, { error }] of refused) {
    log.error({ replayId: replay.id, messageId: entry.id, err: error }, 'replayed message refused by the broker');
  }
  const finished = next === null;
  const position = next ?? toSeq + 1;
  crashPoint('relay.replay:before');
  const published = entries.length - refused.length - unrouted;
  await advanceReplay(session.writeClient, schema, session.key, session.epoch, {
    id: replay.id,
    position,
    published,
    finished,
  });
  crashPoint('relay.replay:after');
  if (finished) log.info({ replayId: replay.id }, 'replay finished');
  return true;
}

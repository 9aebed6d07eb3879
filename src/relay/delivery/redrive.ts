/**
 * Publishes parked messages whose time has come, each key in order: the first of every key alone, and only when it went well the
 * ones waiting behind it.
 */
import { HoldfastError } from '../../errors.ts';
import type { LogEntry } from '../log/log-reader.ts';
import { forgetHead, publishEntries, type LeasedDelivery } from './delivery.ts';
import type { ClaimedMessage, ParkedRecord, RedriveCandidate } from './parking-store.ts';
import { failedRecord, splitBehind, type Refusal } from './refusals.ts';

/** What stands in the table while a message is taken up carefully, and after it, if that was the end of the relay. */
const DIED: Refusal = { kind: 'refused', permanent: false, error: new Error('a relay died publishing it') };

/** Its route went while it was parked. It stays, for nobody would have got it, and goes out when a route has its topic again. */
const NO_ROUTE: Refusal = {
  kind: 'refused',
  permanent: false,
  error: new HoldfastError('HF_CONFIG', 'No route of the subscription has its topic.', {
    advice: 'Give its topic a route and restart the relay, then `holdfast parked retry`; or discard it.',
  }),
};

/**
 * Resolves with how many messages were published. `careful`, after deaths: one message at a time, and its attempt is counted before
 * it is made, so that one that kills its relay is put off like one that is refused, and is a dead letter in the end.
 */
export async function redrive(
  leased: LeasedDelivery,
  limit: number,
  { careful }: { readonly careful: boolean },
): Promise<number> {
  const { session, subscription, parking, random, log, crashPoint } = leased;
  const candidates = new Map(
    (await parking.redrivable(session.writeClient, careful ? 1 : limit)).map((candidate) => [candidate.seq, candidate]),
  );
  if (candidates.size === 0) return 0;
  const afterFailure = (seq: number, refusal: Refusal): ParkedRecord => {
    const { attempts, parkedForMs } = candidates.get(seq) as RedriveCandidate;
    const facts = { attempts, parkedForMs, random };
    return failedRecord(subscription.parkedRetry, seq, refusal, facts);
  };
  if (careful) {
    const marks = [...candidates.keys()].map((seq) => ({ ...afterFailure(seq, DIED), reason: DIED.error.message }));
    await parking.park(session, marks);
  }
  crashPoint('relay.claim:before');
  const claimed = new Map((await parking.claim(session, [...candidates.keys()])).map((each) => [each.seq, each]));
  crashPoint('relay.claim:after');
  const entries = asRevised(await session.reader.pick([...claimed.keys()]), claimed);
  const settled = new Set<number>();
  const { heads, followers } = waves(entries, subscription.keepsOrder);

  /** Resolves with the entries that went out. */
  const publishWave = async (batch: readonly LogEntry[]): Promise<readonly LogEntry[]> => {
    if (batch.length === 0) return [];
    const { refused, unrouted } = await publishEntries(leased, batch, { again: true });
    const staying = new Set([...unrouted, ...refused.map(([entry]) => entry)]);
    // What was not sent because of one before it stays as it was.
    const { failed, waiting } = splitBehind(refused, subscription.keepsOrder);
    const gone = batch.filter((entry) => !staying.has(entry));
    crashPoint('relay.redrive:before');
    await parking.unpark(
      session,
      gone.map((entry) => entry.seq),
    );
    await parking.park(session, [
      ...failed.map(([entry, refusal]) => afterFailure(entry.seq, refusal)),
      ...unrouted.map(({ seq }) => ({ ...afterFailure(seq, NO_ROUTE), reason: 'no route has its topic' })),
    ]);
    crashPoint('relay.redrive:after');
    const unsent = new Set(waiting);
    for (const entry of batch) if (!unsent.has(entry)) settled.add(entry.seq);
    for (const { id, topic } of unrouted)
      log.error({ messageId: id, topic }, 'parked message not published: no route has its topic; it stays parked');
    for (const [entry] of refused) forgetHead(leased, entry);
    session.heads.settle();
    return gone;
  };
  const first = await publishWave(heads);
  const ready = new Set(first.map((entry) => entry.key));
  const second = await publishWave(followers.filter((entry) => ready.has(entry.key)));
  await parking.release(
    session,
    [...claimed.keys()].filter((seq) => !settled.has(seq)),
  );
  // Only of what was touched: there may be very many others.
  const touched = [...new Set(entries.flatMap(({ key }) => (key === null ? [] : [key])))];
  const blocked = await parking.stillBlocked(session.writeClient, touched);
  for (const key of touched) if (!blocked.has(key)) session.blocked.delete(key);
  return first.length + second.length;
}

/**
 * The entries with what a person has put in place of their payload. Those that are not parked any more are left out, and so are those
 * behind one that is to be read later. Pure.
 */
export function asRevised(
  entries: readonly LogEntry[],
  claimed: ReadonlyMap<number, ClaimedMessage>,
): readonly LogEntry[] {
  const end = entries.findIndex(({ seq }) => claimed.get(seq)?.revision === 'later');
  return (end === -1 ? entries : entries.slice(0, end)).flatMap((entry) => {
    const revision = claimed.get(entry.seq)?.revision;
    if (revision === undefined) return [];
    return [revision === null || revision === 'later' ? entry : { ...entry, ...revision }];
  });
}

/** The first message of each key, and the rest. Messages without a key depend on nothing. Pure. */
export function waves(
  entries: readonly LogEntry[],
  keepsOrder: boolean,
): { heads: readonly LogEntry[]; followers: readonly LogEntry[] } {
  const seen = new Set<string>();
  const heads: LogEntry[] = [];
  const followers: LogEntry[] = [];
  for (const entry of entries) {
    if (keepsOrder && entry.key !== null && seen.has(entry.key)) {
      followers.push(entry);
    } else {
      if (entry.key !== null) seen.add(entry.key);
      heads.push(entry);
    }
  }
  return { heads, followers };
}

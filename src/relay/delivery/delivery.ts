/**
 * Brings a page of the log out: every entry is published, parked, or for nobody.
 */
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';
import { decideRetry } from '../../runtime/retry.ts';
import type { OutboundMessage, PublishOutcome } from '../../transport/port.ts';
import type { Dispatcher } from './dispatcher.ts';
import { MAX_ENTRY_BYTES, type LogEntry } from '../log/log-reader.ts';
import type { ResolvedSubscription } from '../subscription/options.ts';
import type { PageLimit } from './page-limit.ts';
import { behind, type ParkedRecord, type ParkingStore } from './parking-store.ts';
import {
  failedRecord,
  graver,
  type Refusal,
  type RefusedEntry,
  sortRefused,
  splitBehind,
  unsentOf,
} from './refusals.ts';
import type { KeyHeads } from '../subscription/key-heads.ts';
import { toOutbound, type LoadedEntry } from '../subscription/routes.ts';
import type { Session } from '../subscription/session.ts';

export interface DeliveryContext {
  readonly subscription: ResolvedSubscription;
  readonly dispatcher: Dispatcher;
  readonly parking: ParkingStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  readonly crashPoint: CrashPoint;
}

/** The same under a lease, until it is lost or given back. */
export interface LeasedDelivery extends DeliveryContext {
  readonly session: Session;
  readonly pages: PageLimit;
  /** The hard stop. */
  readonly signal: AbortSignal;
}

export interface DeliveryCounts {
  readonly published: number;
  readonly parked: number;
  /** Entries that no route has. */
  readonly unrouted: number;
}

/** The characters after which a batch is sent: one of large messages would otherwise be a gigabyte. */
const BATCH_CHARACTERS = 8 * 1_048_576;

/** Delivers in the order given. When it resolves, nothing of `entries` is left to do for the log's cursor. */
export async function deliver(leased: LeasedDelivery, entries: readonly LogEntry[]): Promise<DeliveryCounts> {
  const { subscription, session, random, log } = leased;
  const { free, held } = split(entries, session.blocked);
  const { refused, unrouted } = await publishEntries(leased, free);
  const left = await retryInPlace(leased, refused);
  const { failed, waiting } = splitBehind(left, subscription.keepsOrder);
  const records: ParkedRecord[] = [...held, ...waiting].map(behind);
  for (const entry of waiting) forgetHead(leased, entry);
  for (const [entry, refusal] of failed) {
    const facts = { attempts: 0, parkedForMs: 0, random };
    const record = failedRecord(subscription.parkedRetry, entry.seq, refusal, facts);
    records.push(record);
    forgetHead(leased, entry);
    if (subscription.keepsOrder && entry.key !== null) session.blocked.add(entry.key);
    // What was not even sent, because its place is known to be away, is not worth a line each.
    const level = refusal.later?.attempted === false ? 'debug' : 'error';
    log[level]({ messageId: entry.id, topic: entry.topic, err: refusal.error }, `message parked: ${record.reason}`);
  }
  session.heads.settle();
  await writeParked(leased, records);
  return {
    published: free.length - unrouted.length - left.length,
    parked: records.length,
    unrouted: unrouted.length,
  };
}

/** Messages of a key that has parked ones wait behind them. Pure. */
export function split(
  entries: readonly LogEntry[],
  blocked: ReadonlySet<string>,
): { free: readonly LogEntry[]; held: readonly LogEntry[] } {
  if (blocked.size === 0) return { free: entries, held: [] };
  const free: LogEntry[] = [];
  const held: LogEntry[] = [];
  for (const entry of entries) (entry.key !== null && blocked.has(entry.key) ? held : free).push(entry);
  return { free, held };
}

export interface Published {
  /** Refused by one of its destinations at least. */
  readonly refused: readonly RefusedEntry[];
  /** No route has them: nothing was published, which is not the same as delivered. */
  readonly unrouted: readonly LogEntry[];
}

/** A replay whose messages are published, and the last of each key that it has published. */
export interface OpenReplay {
  readonly id: string;
  readonly heads: KeyHeads;
}

/** Publishes each entry to all its destinations. `again`: they were parked. */
export async function publishEntries(
  leased: LeasedDelivery,
  entries: readonly LogEntry[],
  { replay, again = false }: { readonly replay?: OpenReplay; readonly again?: boolean } = {},
): Promise<Published> {
  const { session } = leased;
  const heads = replay?.heads ?? session.heads;
  leased.pages.begin(entries.length);
  const { router, source, sign } = leased.subscription;
  const signing = sign === null ? null : { sign, nowMs: leased.clock.now() };
  const refused = new Map<LogEntry, Refusal>();
  const refuse = (entry: LogEntry, refusal: Refusal) => void refused.set(entry, graver(refused.get(entry), refusal));
  let batch: OutboundMessage[] = [];
  let owners: LogEntry[] = [];
  let characters = 0;
  const send = async () => {
    const outcomes = await sendWhole(leased, batch, replay === undefined);
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.kind === 'refused') refuse(owners[index] as LogEntry, outcome);
    }
    batch = [];
    owners = [];
    characters = 0;
  };
  const unrouted: LogEntry[] = [];
  const sentAt = session.reader.databaseTime();
  await loadHeads(leased, entries, heads);
  for (const entry of entries) {
    const destinations = router.destinations(entry.topic);
    if (destinations.length === 0) unrouted.push(entry);
    else if (!isLoaded(entry)) refuse(entry, tooLarge(entry));
    if (!isLoaded(entry)) continue;
    for (const { name, ordered } of destinations) {
      const predecessor =
        ordered && entry.key !== null
          ? heads.follow({ destination: name, key: entry.key, id: entry.id, at: entry.time, sentAt }, { again })
          : undefined;
      const outbound = toOutbound(entry, name, { source, signing, predecessor, sentAt, replayId: replay?.id });
      // A page is bounded by its bytes; what goes to ten destinations is ten times that.
      if (characters > 0 && characters + outbound.wire.length > BATCH_CHARACTERS) await send();
      batch.push(outbound);
      owners.push(entry);
      characters += outbound.wire.length;
    }
  }
  if (batch.length > 0) await send();
  return { refused: inLogOrder([...refused]), unrouted };
}

/**
 * Sends what a transport had no time for again, for as long as that gets anywhere.
 *
 * @param ordered whether what is refused is parked, so that its successors may have to wait for it
 */
async function sendWhole(
  leased: LeasedDelivery,
  batch: readonly OutboundMessage[],
  ordered: boolean,
): Promise<readonly PublishOutcome[]> {
  const { dispatcher, session, signal, subscription } = leased;
  const keepsOrder = ordered && subscription.keepsOrder;
  const outcomes = [...(await dispatcher.send(batch, session, signal))];
  for (let before = batch.length; ;) {
    const places = unsentOf(batch, outcomes, keepsOrder);
    if (places.length === 0 || places.length === before) return outcomes;
    before = places.length;
    const rest = places.map((place) => batch[place] as OutboundMessage);
    const again = await dispatcher.send(rest, session, signal);
    for (const [index, outcome] of again.entries()) outcomes[places[index] as number] = outcome;
  }
}

function isLoaded(entry: LogEntry): entry is LoadedEntry {
  return entry.payload !== null;
}

function tooLarge({ bytes }: LogEntry): Refusal {
  const error = new HoldfastError('HF_PAYLOAD_TOO_LARGE', `The message has ${bytes} bytes, too many for a relay.`, {
    advice: `Send a reference to the data instead: a relay carries at most ${MAX_ENTRY_BYTES} bytes a message.`,
    details: { bytes, limit: MAX_ENTRY_BYTES },
  });
  return { kind: 'refused', permanent: true, error };
}

/** Tries messages that were refused for now again, a few times; what is left is to be parked. */
async function retryInPlace(
  leased: LeasedDelivery,
  refused: readonly RefusedEntry[],
): Promise<readonly RefusedEntry[]> {
  const { subscription, clock, random, signal } = leased;
  const { keepsOrder } = subscription;
  let { given, pending } = sortRefused(refused, keepsOrder);
  const startedAtMs = clock.monotonic();
  for (let attempt = 1; pending.length > 0; attempt += 1) {
    const decision = decideRetry(subscription.retry, {
      attempt,
      elapsedMs: clock.monotonic() - startedAtMs,
      permanent: false,
      random,
    });
    if (decision.kind === 'give-up') return inLogOrder([...given, ...pending]);
    await clock.sleep(decision.delayMs, signal);
    signal.throwIfAborted();
    const again = await publishEntries(
      leased,
      pending.map(([entry]) => entry),
    );
    ({ given, pending } = sortRefused(inLogOrder([...given, ...again.refused]), keepsOrder));
  }
  return given;
}

function inLogOrder(refused: readonly RefusedEntry[]): readonly RefusedEntry[] {
  return refused.toSorted(([a], [b]) => a.seq - b.seq);
}

/** Brings the heads of all keys bound for ordered destinations into memory, in one query. */
async function loadHeads(leased: LeasedDelivery, entries: readonly LogEntry[], heads: KeyHeads): Promise<void> {
  if (!leased.subscription.router.hasOrdered) return;
  const keyed = entries.flatMap((entry) =>
    orderedDestinations(leased, entry).map((destination) => ({ destination, key: entry.key as string })),
  );
  if (keyed.length > 0) await heads.load(leased.session.writeClient, keyed);
}

export function forgetHead(leased: LeasedDelivery, entry: LogEntry, heads: KeyHeads = leased.session.heads): void {
  for (const destination of orderedDestinations(leased, entry)) {
    heads.unfollow({ destination, key: entry.key as string, id: entry.id });
  }
}

function orderedDestinations(context: DeliveryContext, entry: LogEntry): readonly string[] {
  if (entry.key === null) return [];
  return context.subscription.router.destinations(entry.topic).flatMap(({ name, ordered }) => (ordered ? [name] : []));
}

async function writeParked(leased: LeasedDelivery, records: readonly ParkedRecord[]): Promise<void> {
  const { session, parking, crashPoint } = leased;
  if (records.length === 0) return;
  crashPoint('relay.park:before');
  await parking.park(session, records);
  crashPoint('relay.park:after');
}

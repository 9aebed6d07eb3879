/**
 * Brings a page of the log out: every entry is published, parked, or for nobody.
 */
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import { defectOf } from '../../runtime/defect.ts';
import { describeError } from '../../runtime/describe-error.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';
import { decideRetry, type RetryPolicy } from '../../runtime/retry.ts';
import type { OutboundMessage, PublishOutcome } from '../../transport/port.ts';
import type { Dispatcher } from './dispatcher.ts';
import { MAX_ENTRY_BYTES, type LogEntry } from '../log/log-reader.ts';
import type { ResolvedSubscription } from '../subscription/options.ts';
import type { PageLimit } from './page-limit.ts';
import { behind, type ParkedRecord, type ParkingStore } from './parking-store.ts';
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

export type Refusal = Extract<PublishOutcome, { kind: 'refused' }>;

/** Delivers in the order given. When it resolves, nothing of `entries` is left to do for the log's cursor. */
export async function deliver(leased: LeasedDelivery, entries: readonly LogEntry[]): Promise<DeliveryCounts> {
  const { subscription, session, random, log } = leased;
  const { free, held } = split(entries, session.blocked);
  const { refused, unrouted } = await publishEntries(leased, free);
  const failed = await retryInPlace(leased, refused);

  const records: ParkedRecord[] = held.map(behind);
  for (const [entry, refusal] of failed) {
    const facts = { attempts: 1, parkedForMs: 0, random };
    const record = failedRecord(subscription.parkedRetry, entry.seq, refusal, facts);
    records.push(record);
    forgetHead(leased, entry);
    if (subscription.keepsOrder && entry.key !== null) session.blocked.add(entry.key);
    log.error({ messageId: entry.id, topic: entry.topic, err: refusal.error }, `message parked: ${record.reason}`);
  }
  session.heads.settle();
  await writeParked(leased, records);
  return {
    published: free.length - unrouted.length - failed.length,
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
  readonly refused: readonly (readonly [LogEntry, Refusal])[];
  /** No route has them: nothing was published, which is not the same as delivered. */
  readonly unrouted: readonly LogEntry[];
}

/** Publishes each entry to all its destinations. `again`: they were parked. */
export async function publishEntries(
  leased: LeasedDelivery,
  entries: readonly LogEntry[],
  { replayId, again = false }: { readonly replayId?: string; readonly again?: boolean } = {},
): Promise<Published> {
  const { session, signal, dispatcher } = leased;
  leased.pages.begin(entries.length);
  const { router, source } = leased.subscription;
  const refused = new Map<LogEntry, Refusal>();
  const refuse = (entry: LogEntry, refusal: Refusal) => {
    if (!(refused.get(entry)?.permanent ?? false)) refused.set(entry, refusal);
  };
  let batch: OutboundMessage[] = [];
  let owners: LogEntry[] = [];
  let characters = 0;
  const send = async () => {
    const outcomes = await dispatcher.send(batch, session, signal);
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.kind === 'refused') refuse(owners[index] as LogEntry, outcome);
    }
    batch = [];
    owners = [];
    characters = 0;
  };
  const unrouted: LogEntry[] = [];
  const sentAt = session.reader.databaseTime();
  if (replayId === undefined) await loadHeads(leased, entries);
  for (const entry of entries) {
    const destinations = router.destinations(entry.topic);
    if (destinations.length === 0) unrouted.push(entry);
    else if (!isLoaded(entry)) refuse(entry, tooLarge(entry));
    if (!isLoaded(entry)) continue;
    for (const { name, ordered } of destinations) {
      const predecessor =
        ordered && entry.key !== null && replayId === undefined
          ? session.heads.follow({ destination: name, key: entry.key, id: entry.id, at: entry.time, sentAt }, { again })
          : undefined;
      const outbound = toOutbound(
        entry,
        name,
        replayId === undefined ? { source, predecessor, sentAt } : { source, replayId },
      );
      // A page is bounded by its bytes; what goes to ten destinations is ten times that.
      if (characters > 0 && characters + outbound.wire.length > BATCH_CHARACTERS) await send();
      batch.push(outbound);
      owners.push(entry);
      characters += outbound.wire.length;
    }
  }
  if (batch.length > 0) await send();
  return { refused: [...refused], unrouted };
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

/** How a refused message is parked, and when it is tried again by itself. `parkedForMs` counts from its first parking. Pure. */
export function failedRecord(
  parkedRetry: RetryPolicy,
  seq: number,
  { permanent, error }: Refusal,
  facts: { readonly attempts: number; readonly parkedForMs: number; readonly random: () => number },
): ParkedRecord {
  const decision = decideRetry(parkedRetry, {
    attempt: facts.attempts,
    elapsedMs: facts.parkedForMs,
    permanent,
    random: facts.random,
  });
  return {
    seq,
    state: 'failed',
    reason: reasonOf({ permanent, error }),
    error: describeError(error),
    attempts: facts.attempts,
    retryInMs: decision.kind === 'retry' ? decision.delayMs : null,
  };
}

function reasonOf({ permanent, error }: Pick<Refusal, 'permanent' | 'error'>): string {
  if (defectOf(error.cause) !== null) return 'the code of the transport fails on it';
  return permanent ? 'the broker refuses it for good' : 'the broker refuses it for now';
}

/** Tries messages that were refused for now again, a few times; what is left is to be parked. */
async function retryInPlace(leased: LeasedDelivery, refused: Published['refused']): Promise<Published['refused']> {
  const { subscription, clock, random, signal } = leased;
  const given: (readonly [LogEntry, Refusal])[] = refused.filter(([, refusal]) => refusal.permanent);
  let pending = refused.filter(([, refusal]) => !refusal.permanent);
  const startedAtMs = clock.monotonic();
  for (let attempt = 1; pending.length > 0; attempt += 1) {
    const decision = decideRetry(subscription.retry, {
      attempt,
      elapsedMs: clock.monotonic() - startedAtMs,
      permanent: false,
      random,
    });
    if (decision.kind === 'give-up') return [...given, ...pending].toSorted(([a], [b]) => a.seq - b.seq);
    await clock.sleep(decision.delayMs, signal);
    signal.throwIfAborted();
    const again = await publishEntries(
      leased,
      pending.map(([entry]) => entry),
    );
    given.push(...again.refused.filter(([, refusal]) => refusal.permanent));
    pending = again.refused.filter(([, refusal]) => !refusal.permanent);
  }
  return given;
}

/** Brings the heads of all keys bound for ordered destinations into memory, in one query. */
async function loadHeads(leased: LeasedDelivery, entries: readonly LogEntry[]): Promise<void> {
  const { session } = leased;
  if (!leased.subscription.router.hasOrdered) return;
  const keyed = entries.flatMap((entry) =>
    orderedDestinations(leased, entry).map((destination) => ({ destination, key: entry.key as string })),
  );
  if (keyed.length > 0) await session.heads.load(session.writeClient, keyed);
}

export function forgetHead(leased: LeasedDelivery, entry: LogEntry): void {
  for (const destination of orderedDestinations(leased, entry)) {
    leased.session.heads.unfollow({ destination, key: entry.key as string, id: entry.id });
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

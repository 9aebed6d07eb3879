/**
 * What people do to the flow: retry, discard, replay, drop. Each act and its audit row commit together or not at all.
 */
import { withOwnTypes } from '../../postgres/own-results.ts';
import { HoldfastError } from '../../errors.ts';
import {
  discardParkedDelivery,
  retryParkedDeliveries,
  type ParkedTarget,
} from '../../inbox/stores/parked-operations.ts';
import { topicMatches } from '../../message/topic-pattern.ts';
import { recordAudit, type Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { patientTransaction } from '../../postgres/lock-wait.ts';
import { toExecutor } from '../../postgres/executor.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import { dropSubscriptionRows, type DroppedSubscription } from '../../relay/maintenance/drop-subscription.ts';
import { discardParkedMessages, keyOfParked, requestRetry } from '../../relay/delivery/parked-selection.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { assertMessageId } from '../reads/messages.ts';
import { listParked, type ParkedSummary } from './parked.ts';
import { rows, tables } from '../reads/reads.ts';
import { routedTopics } from '../reads/routed-topics.ts';

/** Who retries, and how. See {@link retryParked}. */
export interface RetryAct extends Act {
  /** Consumers: a message parked as 'predecessor missing' goes on without it. */
  readonly withoutPredecessor?: boolean | undefined;
}

/** Exactly one of `id`, `key`, `all`; the other two narrow it to a place. */
export interface RetrySelection {
  readonly id?: string | undefined;
  readonly key?: string | undefined;
  readonly all?: boolean | undefined;
  readonly subscription?: string | undefined;
  readonly consumer?: string | undefined;
}

/** What {@link retryParked} has made due, in one place. */
export interface RetriedPlace {
  readonly kind: 'relay' | 'consumer';
  readonly where: string;
  /** Failed messages made due now. */
  readonly retried: number;
  /** Of them, those whose topic no route of the subscription has, as the relay started last knows it: they will stay parked. */
  readonly unrouted: number;
}

const SELECTION = ['id', 'key', 'all', 'subscription', 'consumer'] as const;

/**
 * Makes failed parked messages due now, dead letters included; relays and consumers take them up within a second or so, each key in
 * order. Without `subscription` or `consumer`: wherever they are parked. One transaction a place. For a message that waits behind
 * another, it is the failed ones of its key that are tried again.
 * Rejects with HF_CONFIG for a selection that says nothing or too much, and with HF_NOT_FOUND when nothing fits.
 */
export async function retryParked(
  database: Database,
  selection: RetrySelection,
  act: RetryAct,
): Promise<readonly RetriedPlace[]> {
  const places = await placesOf(database, selection);
  const done: RetriedPlace[] = [];
  for (const place of places) {
    const { kind, where } = place;
    if (kind === 'relay') done.push({ kind, where, ...(await retryRelay(database, place, act)) });
    else done.push({ kind, where, retried: await retryConsumer(database, place, act), unrouted: 0 });
  }
  return done;
}

/** Which message {@link discardParked} gives up. */
export interface DiscardSelection {
  readonly id: string;
  readonly subscription?: string | undefined;
  readonly consumer?: string | undefined;
}

/**
 * Gives a parked message up for good: it will not be published, or not be handled. What waited behind it goes on. Its row in the log
 * stays until retention, so a replay can still bring it. The reason is required.
 * Rejects with HF_CONFIG when it is parked in several places and the selection does not say which, and with HF_NOT_FOUND.
 */
export async function discardParked(
  database: Database,
  selection: DiscardSelection,
  act: Act & { readonly reason: string },
): Promise<ParkedSummary> {
  assertReason(act.reason, 'Say why the message may be lost');
  const only = await parkedOnce(database, selection);
  if (only.kind === 'consumer') {
    await discardParkedDelivery(database, only.where, selection.id, act);
    return only;
  }
  await audited(database, async (client, audit) => {
    const [gone] = await discardParkedMessages(client, database.schema, { subscription: only.where, id: selection.id });
    if (gone === undefined) throw notParked(selection);
    const { seq, topic, key, state, reason, attempts } = gone;
    await audit({
      ...act,
      action: 'parked.discard',
      subject: `${only.where}/${selection.id}`,
      details: { kind: 'relay', seq, topic, key, state, reason, attempts },
    });
  });
  return only;
}

/**
 * The one place where a message is parked. Rejects with HF_CONFIG when there are several and the selection does not say which, and with
 * HF_NOT_FOUND.
 */
export async function parkedOnce(database: Database, selection: DiscardSelection): Promise<ParkedSummary> {
  refuseUnknownOptions(selection, ['id', 'subscription', 'consumer'], 'the selection of a parked message');
  const found = await parkedAt(database, selection);
  const [only] = found;
  if (only === undefined) throw notParked(selection);
  if (found.length === 1) return only;
  throw new HoldfastError(
    'HF_CONFIG',
    `Message ${selection.id} is parked in ${found.length} places: ${found.map((each) => `${each.kind} ${each.where}`).join(', ')}.`,
    {
      advice: 'Say which one with --subscription or --consumer.',
    },
  );
}

/**
 * Removes a subscription and gives up what it has not delivered. The reason is required. Rejects with HF_SUBSCRIPTION_UNKNOWN,
 * HF_SUBSCRIPTION_HELD, and HF_CONFIG when it has parked messages and `discardParked` is not set.
 */
export async function dropSubscription(
  database: Database,
  name: string,
  act: Act & { readonly reason: string; readonly discardParked?: boolean | undefined },
): Promise<DroppedSubscription> {
  assertReason(act.reason, 'Say why it goes');
  return audited(database, async (client, audit) => {
    const dropped = await dropSubscriptionRows(client, database.schema, name, {
      discardParked: act.discardParked === true,
    });
    const { name: subject, ...details } = dropped;
    await audit({ actor: act.actor, reason: act.reason, action: 'subscription.drop', subject, details });
    return dropped;
  });
}

interface Place {
  readonly kind: 'relay' | 'consumer';
  readonly where: string;
  readonly target: ParkedTarget;
}

async function placesOf(database: Database, selection: RetrySelection): Promise<readonly Place[]> {
  refuseUnknownOptions(selection, SELECTION, 'retryParked');
  const { id, key, all, subscription, consumer } = selection;
  const named = [id !== undefined, key !== undefined, all === true].filter(Boolean).length;
  if (named !== 1) {
    throw new HoldfastError(
      'HF_CONFIG',
      named === 0 ? 'Nothing is chosen to be retried.' : 'Id, key and all exclude each other.',
      {
        advice: 'Give a message id, or --key, or --all.',
      },
    );
  }
  const target: ParkedTarget = id !== undefined ? { id } : key !== undefined ? { key } : { all: true };
  if (id !== undefined) assertMessageId(id);
  const wanted = (kind: Place['kind'], where: string): boolean => {
    if (subscription === undefined && consumer === undefined) return true;
    return kind === 'relay' ? where === subscription : where === consumer;
  };
  let relay = tables(database).selectFrom('parked_message').select('subscription as where').distinct();
  let consumers = tables(database).selectFrom('parked_delivery').select('consumer as where').distinct();
  if (id !== undefined) {
    relay = relay.where('id', '=', id);
    consumers = consumers.where('message_id', '=', id);
  } else if (key !== undefined) {
    relay = relay.where('key', '=', key);
    consumers = consumers.where('key', '=', key);
  }
  const [ofRelay, ofConsumers] = await Promise.all([rows(database, relay), rows(database, consumers)]);
  const places: readonly Place[] = [
    ...ofRelay.map(({ where }) => ({ kind: 'relay' as const, where, target })),
    ...ofConsumers.map(({ where }) => ({ kind: 'consumer' as const, where, target })),
  ].filter(({ kind, where }) => wanted(kind, where));
  if (places.length === 0 && all !== true) throw notParked(selection);
  return places;
}

async function retryRelay(
  database: Database,
  { where, target }: Place,
  act: Act,
): Promise<Pick<RetriedPlace, 'retried' | 'unrouted'>> {
  const patterns = (await routedTopics(database)).get(where);
  return audited(database, async (client, audit) => {
    const narrowed = 'all' in target ? {} : target;
    let retried = await requestRetry(client, database.schema, { subscription: where, ...narrowed });
    if (retried.messages === 0 && 'id' in target) {
      // It waits behind another: that one is what holds it up.
      const key = await keyOfParked(client, database.schema, { subscription: where, id: target.id });
      if (key === undefined) throw notParked({ id: target.id });
      if (key !== null) retried = await requestRetry(client, database.schema, { subscription: where, key });
    }
    const subject =
      'id' in target ? `${where}/${target.id}` : 'key' in target ? `${where}/key/${target.key}` : `${where}/*`;
    const { messages, ids, topics } = retried;
    const hasRoute = ({ topic }: { topic: string }) => patterns?.some((each) => topicMatches(each, topic)) ?? true;
    const unrouted = topics.reduce((sum, each) => sum + (hasRoute(each) ? 0 : each.messages), 0);
    await audit({ ...act, action: 'parked.retry', subject, details: { kind: 'relay', messages, unrouted, ids } });
    return { retried: messages, unrouted };
  });
}

async function retryConsumer(database: Database, { where, target }: Place, act: RetryAct): Promise<number> {
  return retryParkedDeliveries(database, where, target, act);
}

async function parkedAt(
  database: Database,
  { id, subscription, consumer }: DiscardSelection,
): Promise<readonly ParkedSummary[]> {
  assertMessageId(id);
  const found = await listParked(database, { id, limit: 1000 });
  if (subscription === undefined && consumer === undefined) return found;
  return found.filter(({ kind, where }) => where === (kind === 'relay' ? subscription : consumer));
}

type Transaction = Parameters<Parameters<Database['transaction']>[0]>[0];
type Entry = Parameters<typeof recordAudit>[2];

/** An act in a transaction; rejects with what translateSqlError makes of the driver's errors. */
export async function audited<T>(
  database: Database,
  act: (client: Transaction, audit: (entry: Entry) => Promise<void>) => Promise<T>,
): Promise<T> {
  return patientTransaction(database, { doing: 'What was asked for is not done' }, (given) => {
    const client = withOwnTypes(given);
    return act(client, (entry) => recordAudit(toExecutor(client), database.schema, entry));
  }).catch((error: unknown) => {
    throw translateSqlError(error);
  });
}

/** Throws HF_CONFIG. */
export function assertReason(reason: string, why: string): void {
  if (typeof reason === 'string' && reason.trim() !== '') return;
  throw new HoldfastError('HF_CONFIG', 'A reason is required.', {
    advice: `${why}: --reason '…'. It stands in the audit.`,
  });
}

function notParked({ id, key, subscription, consumer }: RetrySelection): HoldfastError {
  const what = id === undefined ? `of the key ${JSON.stringify(key)}` : id;
  const where = subscription ?? consumer;
  return new HoldfastError(
    'HF_NOT_FOUND',
    `No message ${what} is parked${where === undefined ? '' : ` at ${where}`}.`,
    {
      advice: '`holdfast parked ls` shows those that are; it may have gone on meanwhile.',
    },
  );
}

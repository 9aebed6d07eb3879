/**
 * The operations that `import 'holdfast'` offers: the functions of the modules beside this one, each loaded with its first call. They bring
 * a builder of queries, which a service that only sends, handles and runs sagas has no use for. The command line, of which each verb is
 * loaded by itself, imports the modules.
 */
import type { Act } from '../postgres/audit.ts';
import type { Database } from '../postgres/database.ts';
import type { DroppedSubscription } from '../relay/maintenance/drop-subscription.ts';
import type { AlertsNow } from './alerts/list-alerts.ts';
import type { AlertSettings } from './alerts/options.ts';
import type { Diagnosis } from './doctor/doctor.ts';
import type { Adopted } from './doctor/environment.ts';
import type { DoctorOptions } from './doctor/finding.ts';
import type { DiscardSelection, RetriedPlace, RetryAct, RetrySelection } from './parked/interventions.ts';
import type { ParkedDetails, ParkedFilter, ParkedSummary } from './parked/parked.ts';
import type { Findings, FindOptions } from './path/find-anything.ts';
import type { MessagePath } from './path/path-model.ts';
import type { AuditedAct, AuditFilter } from './reads/audit.ts';
import type { LimitsInForce } from './reads/limits-in-force.ts';
import type { NextDue, ListDueOptions } from './reads/list-due.ts';
import type { MessageDetails, MessageFilter, MessageSummary, ScheduledDetails } from './reads/messages.ts';
import type { MessagePage, MessageSearch } from './reads/search-messages.ts';
import type { RelayStatus } from './relay/relay-status.ts';
import type { ReplayOptions, ReplayPlan, RequestedReplay } from './relay/replays.ts';
import type { ReasonedAct } from './sagas/saga-interventions.ts';
import type { SagaStatus } from './sagas/saga-status.ts';

/**
 * Lag, rate, leases, parked messages and replays, read from the database alone: it answers whether or not a relay runs. Cheap enough to be
 * asked every second.
 *
 * @throws HoldfastError HF_SCHEMA_MISSING, HF_DATABASE_UNAVAILABLE, HF_PERMISSION
 * @example
 * const { subscriptions } = await relayStatus(database);
 * for (const { name, behind, parked } of subscriptions) console.log(name, behind, parked.failed);
 */
export async function relayStatus(database: Database): Promise<RelayStatus> {
  return (await import('./relay/relay-status.ts')).relayStatus(database);
}

/**
 * How the sagas are doing, read from the database alone: runs by state, what is stuck, what is due, and the workers. Null for a role that
 * may not read the sagas (docs/roles.md).
 *
 * @throws HoldfastError HF_SCHEMA_MISSING, HF_DATABASE_UNAVAILABLE
 * @example
 * const status = await sagaStatus(database);
 * for (const { saga: name, runs } of status?.stuck ?? []) console.log(`${runs} runs of ${name} need a person`);
 */
export async function sagaStatus(database: Database): Promise<SagaStatus | null> {
  return (await import('./sagas/saga-status.ts')).sagaStatus(database);
}

/**
 * What is alerting now: what is wrong at this moment, and what was told of it. It answers whether or not anybody watches. `settings` are
 * those of the processes that watch, for their thresholds.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_SCHEMA_MISSING, HF_DATABASE_UNAVAILABLE, HF_PERMISSION
 * @example
 * const { alerts } = await listAlerts(database);
 * for (const { state, summary, advice } of alerts) console.log(state, summary, advice);
 */
export async function listAlerts(database: Database, settings?: AlertSettings): Promise<AlertsNow> {
  return (await import('./alerts/list-alerts.ts')).listAlerts(database, settings);
}

/**
 * Looks for what will hurt: settings, leases, sessions and retention that make messages late, lost or the database slow. Each finding says
 * why it hurts and what to do, with the command or SQL that mends it; none of that is run. docs/doctor.md lists all checks. It reads only,
 * and is cut off where it takes long.
 *
 * @throws HoldfastError HF_DATABASE_UNAVAILABLE, and HF_PERMISSION for a login that is refused: only when the database cannot be asked at all
 * @example
 * const { findings } = await doctor(database, { redisUrls: ['redis://localhost:6379'] });
 * for (const { level, what, why, repair } of findings) console.log(level, what, why, repair);
 */
export async function doctor(database: Database, options?: DoctorOptions): Promise<Diagnosis> {
  return (await import('./doctor/doctor.ts')).doctor(database, options);
}

/**
 * Says that all goes on here: after a restore, a move, or for a copy that is to live on its own. Also ends the wait of subscriptions with
 * `failoverReplay: 'hold'`.
 *
 * @throws HoldfastError HF_SCHEMA_MISSING, HF_PERMISSION, HF_DATABASE_UNAVAILABLE
 * @example
 * const { before, name } = await adopt(database, { actor: 'ada', reason: 'moved to the new cluster' });
 * console.log(`was ${before}, is ${name}`);
 */
export async function adopt(database: Database, act: Act): Promise<Adopted> {
  return (await import('./doctor/environment.ts')).adopt(database, act);
}

/**
 * Messages of the outbox: newest first, or oldest first after a seq. Their payloads are in {@link showMessage}. Reads on until the list is full
 * or the log ends, however long that takes: on a long log use {@link searchMessages}.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * for (const { id, topic, ageMs } of await listMessages(database, { topic: 'order.*', limit: 20 })) console.log(id, topic, ageMs);
 */
export async function listMessages(database: Database, filter?: MessageFilter): Promise<readonly MessageSummary[]> {
  return (await import('./reads/messages.ts')).listMessages(database, filter);
}

/**
 * Everything known about one message: its envelope, and how far subscriptions and consumers are with it. Of one whose time has not come,
 * what is scheduled.
 *
 * @throws HoldfastError HF_NOT_FOUND for what is neither in the log nor scheduled, HF_CONFIG for what is no id
 * @example
 * const found = await showMessage(database, '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f');
 * if ('scheduled' in found) console.log('due at', found.scheduled.dueAt);
 * else console.log(found.subscriptions);
 */
export async function showMessage(
  database: Database,
  id: string,
): Promise<MessageDetails | { readonly scheduled: ScheduledDetails }> {
  return (await import('./reads/messages.ts')).showMessage(database, id);
}

/**
 * What people did, newest first.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * for (const { at, actor, action, subject } of await listAudit(database, { limit: 20 })) console.log(at, actor, action, subject);
 */
export async function listAudit(database: Database, filter?: AuditFilter): Promise<readonly AuditedAct[]> {
  return (await import('./reads/audit.ts')).listAudit(database, filter);
}

/**
 * A page of the messages that fit, newest first. It comes in time whatever the log holds: what no index serves is looked through for
 * `lookFor`, and the page says how far it looked.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_READ_TIMEOUT
 * @example
 * const first = await searchMessages(database, { topic: 'order.*', payload: { orderId: 'o-1' } });
 * for (const { id, topic, createdAt } of first.messages) console.log(id, topic, createdAt);
 * if (first.older !== null) console.log('more behind', first.older, 'looked back to', first.looked.reached);
 */
export async function searchMessages(database: Database, search?: MessageSearch): Promise<MessagePage> {
  return (await import('./reads/search-messages.ts')).searchMessages(database, search);
}

/**
 * The whole way of one message, with the times between: the transaction that wrote it and what else that wrote, the subscriptions that read
 * it, the consumers that handled or parked it, the call of a run that it was sent for or answers, and the messages that it led to.
 *
 * @throws HoldfastError HF_NOT_FOUND for what has left no trace, HF_CONFIG for what is no id, HF_READ_TIMEOUT
 * @example
 * const { steps } = await messagePath(database, '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f');
 * for (const { sinceWrittenMs, who, text } of steps) console.log(sinceWrittenMs, who, text);
 */
export async function messagePath(database: Database, id: string): Promise<MessagePath> {
  return (await import('./path/message-path.ts')).messagePath(database, id);
}

/**
 * What a text is the name of: the id, or the beginning of one, of a message or a run, the key of a run or of messages, a correlation id. Each
 * with the command that shows it.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION, HF_READ_TIMEOUT
 * @example
 * const { found, advice } = await findAnything(database, 'o-1');
 * for (const { kind, id, show } of found) console.log(kind, id, show);
 * if (advice !== null) console.log(advice);
 */
export async function findAnything(database: Database, text: string, options?: FindOptions): Promise<Findings> {
  return (await import('./path/find-anything.ts')).findAnything(database, text, options);
}

/**
 * Messages that relays could not publish or consumers could not handle: place by place, in each the oldest first.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN
 * @example
 * for (const { id, where, error } of await listParked(database, { state: 'dead' })) console.log(id, where, error);
 */
export async function listParked(database: Database, filter?: ParkedFilter): Promise<readonly ParkedSummary[]> {
  return (await import('./parked/parked.ts')).listParked(database, filter);
}

/**
 * Everything known about one parked message, in each place where it is parked.
 *
 * @throws HoldfastError HF_NOT_FOUND, HF_CONFIG for what is no id
 * @example
 * const [place] = await showParked(database, '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f');
 * console.log(place?.data, place?.waitingBehind);
 */
export async function showParked(database: Database, id: string): Promise<readonly ParkedDetails[]> {
  return (await import('./parked/parked.ts')).showParked(database, id);
}

/**
 * Makes failed parked messages due now, dead letters included; relays and consumers take them up within a second or so, each key in
 * order. Without `subscription` or `consumer`: wherever they are parked.
 *
 * @throws HoldfastError HF_CONFIG for a selection that says nothing or too much, HF_NOT_FOUND when nothing fits
 * @example
 * await retryParked(database, { all: true, consumer: 'billing' }, { actor: 'ada', reason: 'the bug is mended' });
 */
export async function retryParked(
  database: Database,
  selection: RetrySelection,
  act: RetryAct,
): Promise<readonly RetriedPlace[]> {
  return (await import('./parked/interventions.ts')).retryParked(database, selection, act);
}

/**
 * Gives a parked message up for good: it will not be published, or not be handled. What waited behind it goes on. The reason is required.
 *
 * @throws HoldfastError HF_CONFIG when it is parked in several places and the selection does not say which, HF_NOT_FOUND
 * @example
 * await discardParked(
 *   database,
 *   { id: '0197a1f0-7d1c-7cc3-98c4-dc0c0c07398f', consumer: 'billing' },
 *   { actor: 'ada', reason: 'a test message' },
 * );
 */
export async function discardParked(
  database: Database,
  selection: DiscardSelection,
  act: ReasonedAct,
): Promise<ParkedSummary> {
  return (await import('./parked/interventions.ts')).discardParked(database, selection, act);
}

/**
 * Removes a subscription and gives up what it has not delivered. The reason is required.
 *
 * @throws HoldfastError HF_SUBSCRIPTION_UNKNOWN, HF_SUBSCRIPTION_HELD, and HF_CONFIG when it has parked messages and `discardParked` is
 * not set
 * @example
 * await dropSubscription(database, 'old-search', { actor: 'ada', reason: 'search reads from the new one' });
 */
export async function dropSubscription(
  database: Database,
  name: string,
  act: ReasonedAct & { readonly discardParked?: boolean | undefined },
): Promise<DroppedSubscription> {
  return (await import('./parked/interventions.ts')).dropSubscription(database, name, act);
}

/**
 * What {@link requestReplay} would publish. Changes nothing.
 *
 * @throws HoldfastError as {@link requestReplay}
 * @example
 * const { messages, oldest } = await planReplay(database, { subscription: 'main', since: new Date('2026-01-01') });
 * console.log(`${messages} messages, the oldest of ${oldest.toISOString()}`);
 */
export async function planReplay(database: Database, options: ReplayOptions): Promise<ReplayPlan> {
  return (await import('./relay/replays.ts')).planReplay(database, options);
}

/**
 * Asks the relays of the subscription for a replay; they work it off between live messages, and the id travels with each message as
 * `replayid`.
 *
 * @throws HoldfastError HF_SUBSCRIPTION_UNKNOWN, HF_NOT_FOUND when no message fits or none that the subscription has a route for, HF_CONFIG
 * for options that are not usable
 * @example
 * await requestReplay(database, { subscription: 'main', topic: 'order.*' }, { actor: 'ada', reason: 'the broker lost its disk' });
 */
export async function requestReplay(database: Database, options: ReplayOptions, act: Act): Promise<RequestedReplay> {
  return (await import('./relay/replays.ts')).requestReplay(database, options, act);
}

/**
 * What is due next: messages that were scheduled for later, and runs of sagas that wait for a time and that no worker has in memory.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_PERMISSION
 * @example
 * const { messages, timers } = await listDue(database, { limit: 10 });
 * for (const { topic, dueAt } of messages) console.log(topic, dueAt);
 * for (const { saga: name, run, dueAt } of timers) console.log(name, run, dueAt);
 */
export async function listDue(database: Database, options?: ListDueOptions): Promise<NextDue> {
  return (await import('./reads/list-due.ts')).listDue(database, options);
}

/**
 * The limits in force, as workers, relays and consumers have said when they were started.
 *
 * @throws HoldfastError HF_SCHEMA_MISSING, HF_DATABASE_UNAVAILABLE, HF_PERMISSION
 * @example
 * const { workers } = await limitsInForce(database);
 * for (const { name, concurrency } of workers) console.log(name, concurrency);
 */
export async function limitsInForce(database: Database): Promise<LimitsInForce> {
  return (await import('./reads/limits-in-force.ts')).limitsInForce(database);
}

/**
 * `holdfast status`: how relay and sagas are doing, at a glance.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  relayStatus,
  type ConsumerParked,
  type ParkedCounts,
  type RelayStatus,
  type SubscriptionStatus,
} from '../../operations/relay/relay-status.ts';
import { sagaStatus, type SagaStatus } from '../../operations/sagas/saga-status.ts';
import { readQueues, type QueuesStatus } from '../../operations/doctor/read-queues.ts';
import { isHoldfastError } from '../../errors.ts';
import type { JobSummary } from '../../operations/jobs/job.ts';
import { listJobs } from '../../operations/jobs/jobs.ts';
import type { Database } from '../../postgres/database.ts';
import { formatCount, formatMs, formatRate, oneLine, plural } from '../output/format.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import { formatTable } from '../output/table.ts';
import { askAll, IN_SECTIONS, overDatabases, severalReport } from '../over.ts';
import { withDatabases, type Context } from '../verb.ts';
import { resolveRedisUrls } from '../config/servers.ts';
import { askableTransports } from '../config/transports.ts';
import { formatQueues } from './status-queues.ts';
import { formatSagas } from './status-sagas.ts';

export async function status(context: Context): Promise<VerbReport> {
  return overDatabases(context, async (database) => toReport(await look(database, context)), IN_SECTIONS);
}

export interface Watch {
  readonly intervalMs: number;
  readonly print: (report: VerbReport) => void;
}

/** Until the process is ended. */
export async function watchStatus(context: Context, { intervalMs, print }: Watch): Promise<never> {
  const report = async (database: Database): Promise<VerbReport> => toReport(await look(database, context));
  return withDatabases(context, async (databases) => {
    const [only] = databases.values();
    for (;;) {
      if (databases.size === 1 && only !== undefined) print(await report(only));
      else print(severalReport(await askAll(databases, report), IN_SECTIONS));
      await sleep(intervalMs);
    }
  });
}

interface Found {
  readonly relay: RelayStatus;
  /** Null for a role that may not read them. */
  readonly sagas: SagaStatus | null;
  /** Open jobs that nobody works on; null for a role that may not read them. */
  readonly orphaned: readonly JobSummary[] | null;
  /** Null where no queues are known of. */
  readonly broker: QueuesStatus | null;
}

async function look(database: Database, context: Context): Promise<Found> {
  const [relay, sagas, orphaned, broker] = await Promise.all([
    relayStatus(database),
    sagaStatus(database),
    orphanedJobs(database),
    readQueues(database, {
      transports: askableTransports(context.given, context.config),
      redisUrls: resolveRedisUrls(context.given, context.config),
      redisPrefix: context.config.redis?.prefix,
    }),
  ]);
  return { relay, sagas, orphaned, broker };
}

async function orphanedJobs(database: Database): Promise<readonly JobSummary[] | null> {
  try {
    return await listJobs(database, { orphaned: true });
  } catch (error) {
    if (isHoldfastError(error, 'HF_PERMISSION')) return null;
    throw error;
  }
}

function toReport({ relay, sagas, orphaned, broker }: Found): VerbReport {
  return {
    json: { ...relay, sagas, jobs: orphaned === null ? null : { orphaned }, broker },
    text: (ui) =>
      [
        formatStatus(relay, ui),
        ...(broker === null ? [] : formatQueues(broker, ui)),
        ...(sagas === null ? [] : formatSagas(sagas, ui)),
        ...formatOrphaned(orphaned ?? [], ui),
      ].join('\n\n'),
  };
}

/** A paragraph, or none. */
function formatOrphaned(orphaned: readonly JobSummary[], { style }: Ui): readonly string[] {
  if (orphaned.length === 0) return [];
  const lines = orphaned.map(
    ({ id, act, actor }) =>
      ` ${style.yellow('!')} ${act.kind} of ${oneLine(actor, 40)}: nobody goes on with it: holdfast job resume ${id}`,
  );
  return [`${style.bold('Jobs')}\n${lines.join('\n')}`];
}

export function formatStatus(found: RelayStatus, ui: Ui): string {
  const { style } = ui;
  const parts: string[] = [formatLog(found, ui)];
  if (found.subscriptions.length === 0) {
    parts.push(
      [
        style.yellow('No subscription yet: no relay has run on this database, so nothing is published.'),
        `Start one:  ${style.bold("holdfast relay --redis-url redis://localhost:6379 --route 'order.**=orders'")}`,
      ].join('\n'),
    );
  } else {
    parts.push(formatSubscriptions(found.subscriptions, ui));
    const troubles = found.subscriptions.flatMap((each) =>
      troublesOf(each).map((text) => ` ${style.red('!')} ${text}`),
    );
    if (troubles.length > 0) parts.push(troubles.join('\n'));
  }
  if (found.consumers.length > 0) parts.push(`Parked by consumers\n${formatConsumers(found.consumers, ui)}`);
  if (found.replays.length > 0) parts.push(`Replays under way\n${formatReplays(found, ui)}`);
  if (found.subscriptions.some(({ parked }) => total(parked) > 0) || found.consumers.length > 0) {
    parts.push(style.dim('Parked messages: holdfast parked ls'));
  }
  return parts.join('\n\n');
}

function formatLog({ schema, log, scheduled }: RelayStatus, { style }: Ui): string {
  const facts = [
    log.newestSeq === null
      ? 'the log is empty'
      : `log up to ${style.bold(formatCount(log.newestSeq))}, back to ${formatMs(log.oldestAgeMs ?? 0)} ago`,
    ...(scheduled.count === 0
      ? []
      : [
          `${formatCount(scheduled.count)} scheduled, ${(scheduled.nextInMs ?? 0) > 0 ? `next in ${formatMs(scheduled.nextInMs ?? 0)}` : style.yellow('due now')}`,
        ]),
  ];
  return `${style.bold('Holdfast')} ${style.dim(`schema ${schema}`)}  ${facts.join(style.dim(' · '))}`;
}

function formatSubscriptions(subscriptions: readonly SubscriptionStatus[], ui: Ui): string {
  const { style } = ui;
  return formatTable(
    subscriptions,
    [
      { title: 'SUBSCRIPTION', value: nameOf, shrink: 16, paint: style.bold },
      {
        title: 'LEASE',
        value: ({ lease, live }) => (live ? formatMs(lease?.remainingMs ?? 0) : 'none'),
        align: 'right',
        paint: (cell, { live }) => (live ? style.green(cell) : style.red(cell)),
      },
      {
        title: 'HELD BY',
        value: ({ lease, live }) => (lease === null ? '-' : live ? lease.owner : `(${lease.owner})`),
        shrink: 12,
        optional: true,
        paint: style.dim,
      },
      { title: 'PUBLISHED', value: ({ published }) => formatCount(published), align: 'right' },
      { title: 'RATE', value: ({ ratePerSecond }) => formatRate(ratePerSecond), align: 'right', optional: true },
      {
        title: 'BEHIND',
        value: ({ behind, shards }) => `${behind > 0 && shards > 1 ? '≤' : ''}${formatCount(behind)}`,
        align: 'right',
        paint: (cell, { oldestUnpublishedAgeMs }) =>
          (oldestUnpublishedAgeMs ?? 0) > 10_000 ? style.yellow(cell) : cell,
      },
      {
        title: 'OLDEST',
        value: ({ oldestUnpublishedAgeMs }) =>
          oldestUnpublishedAgeMs === null ? '-' : formatMs(oldestUnpublishedAgeMs),
        align: 'right',
        paint: (cell, { oldestUnpublishedAgeMs }) =>
          (oldestUnpublishedAgeMs ?? 0) > 10_000 ? style.yellow(cell) : cell,
      },
      {
        title: 'PARKED',
        value: ({ parked }) => formatParked(parked),
        paint: (cell, { parked }) => (parked.dead > 0 ? style.yellow(cell) : cell),
      },
    ],
    ui,
  );
}

function formatConsumers(consumers: readonly ConsumerParked[], ui: Ui): string {
  const { style } = ui;
  return formatTable(
    consumers,
    [
      { title: 'CONSUMER', value: ({ consumer }) => consumer, shrink: 16, paint: style.bold },
      { title: 'PARKED', value: formatParked, paint: (cell, { dead }) => (dead > 0 ? style.yellow(cell) : cell) },
      { title: 'OLDEST', value: ({ oldestAgeMs }) => formatMs(oldestAgeMs), align: 'right' },
    ],
    ui,
  );
}

function formatReplays({ replays }: RelayStatus, ui: Ui): string {
  const { style } = ui;
  return formatTable(
    replays,
    [
      { title: 'REPLAY', value: ({ id }) => id },
      { title: 'SUBSCRIPTION', value: ({ subscription }) => subscription, shrink: 12 },
      {
        title: 'RANGE',
        value: ({ fromSeq, toSeq }) => `${formatCount(fromSeq)} … ${formatCount(toSeq)}`,
        shrink: 12,
        optional: true,
      },
      {
        title: 'ONLY',
        value: ({ topic, key }) =>
          [topic, key === null ? null : `key ${key}`].filter((part) => part !== null).join(', ') || '-',
        shrink: 8,
        optional: true,
      },
      {
        title: 'AT',
        value: ({ position, begunTimes }) =>
          begunTimes > 3 ? `${formatCount(position)}, begun ${begunTimes} times` : formatCount(position),
        paint: (cell, { begunTimes }) => (begunTimes > 3 ? style.yellow(cell) : cell),
        shrink: 8,
      },
      { title: 'PUBLISHED', value: ({ published }) => formatCount(published), align: 'right' },
      {
        title: 'ASKED',
        value: ({ requestedAgoMs }) => `${formatMs(requestedAgoMs)} ago`,
        align: 'right',
        optional: true,
      },
    ],
    ui,
  );
}

function troublesOf(subscription: SubscriptionStatus): readonly string[] {
  const { live, lease, trouble, stalls, lapses, probing, behind, parked } = subscription;
  const name = nameOf(subscription);
  const troubles: string[] = [];
  if (!live) {
    const last = lease === null ? '' : `; ${lease.owner} held it last`;
    troubles.push(
      `${name}: no relay holds it${last}. ${behind > 0 ? 'Messages are waiting: start' : 'Start'} one, or drop it (holdfast subscription drop).`,
    );
  }
  if (live && trouble !== null)
    troubles.push(`${name}: the broker does not take messages: ${trouble.replace(/^HoldfastError: /, '')}`);
  if (probing) troubles.push(`${name}: relays died here; it is looking for a message that kills them.`);
  else if (stalls >= 2) troubles.push(`${name}: relays died here ${stalls} times in a row without progress.`);
  if (lapses >= 2)
    troubles.push(`${name}: relays stood still for longer than their lease ${lapses} times in a row, and got nowhere.`);
  if (parked.dead > 0)
    troubles.push(`${name}: ${plural(parked.dead, 'parked message waits', 'parked messages wait')} for a person.`);
  return troubles;
}

/** '2 failed, 5 behind, 1 dead' or '-'. */
export function formatParked({ failed, behind, dead }: ParkedCounts): string {
  const parts = Object.entries({ failed, behind, dead }).filter(([, count]) => count > 0);
  return parts.length === 0 ? '-' : parts.map(([state, count]) => `${formatCount(count)} ${state}`).join(', ');
}

function total({ failed, behind, dead }: ParkedCounts): number {
  return failed + behind + dead;
}

function nameOf({ name, shard, shards }: SubscriptionStatus): string {
  return shards === 1 ? name : `${name} ${shard + 1}/${shards}`;
}

/**
 * The state of a BullMQ queue, and what people should know about it: that it is paused, read by foreign workers, shared by two databases,
 * or read by nobody.
 */
import type { JobType } from 'bullmq';
import { layoutOf } from './partition-layout.ts';
import type { QueueAccess } from './queue-access.ts';
import type { QueueRemark, QueueState } from '../port.ts';

/** Of our workers, behind the name of the queue; those of plain BullMQ have none or another. */
export const WORKER_NAME = 'holdfast';
const OWN_WORKER = `:w:${WORKER_NAME}`;
/** A field of `meta` for each database whose sagas take their replies from the queue; its value is when it was last seen. */
const OWNER = 'holdfastOwner:';
/** Owners look every few seconds; one that has not been seen for this long has moved on. */
const OWNER_FRESH_MS = 60_000;

/** What waits in a paused queue on PostgreSQL is 'paused', which BullMQ's type forgets. */
const STATES = ['wait', 'paused', 'prioritized', 'active', 'delayed', 'failed'] as const;

export interface QueueFacts {
  readonly destination: string;
  readonly meta: Readonly<Record<string, string>>;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
  /** Names of connected clients that are workers of its queues; null when that cannot be told. */
  readonly workers: readonly string[] | null;
  /** The database that asks, where replies are taken for one. */
  readonly owner: string | null;
  readonly nowMs: number;
}

/** Pure. */
export function assessQueue(facts: QueueFacts): QueueState {
  const { destination, meta, waiting, active, delayed, failed, workers, owner, nowMs } = facts;
  const paused = meta['paused'] === '1';
  const foreign = workers?.filter((name) => !name.endsWith(OWN_WORKER)).length ?? null;
  const fresh = Object.entries(meta)
    .filter(([field, seenAt]) => field.startsWith(OWNER) && nowMs - Number(seenAt) < OWNER_FRESH_MS)
    .map(([field]) => field.slice(OWNER.length));
  const others = fresh.filter((other) => other !== (owner ?? fresh[0]));
  const remarks: QueueRemark[] = [];
  const remark = (check: QueueRemark['check'], what: string, advice: string): void =>
    void remarks.push({ check, what, advice });
  if (paused)
    remark('queue.paused', `The queue ${destination} is paused: nothing of it is handed out.`, 'Resume it in BullMQ.');
  if (foreign !== null && foreign > 0)
    remark(
      'queue.foreign',
      `${foreign} BullMQ workers that are not Holdfast's read the queue ${destination} as well and take messages from it.`,
      'Stop them, or give Holdfast another destination or prefix.',
    );
  if (others.length > 0)
    remark(
      'queue.shared',
      `Workers of another database take replies from the queue ${destination} as well.`,
      'Give the sagas of each database a reply queue and a reply topic of their own.',
    );
  if (failed > 0)
    remark(
      'queue.failed',
      `${failed} messages of ${destination} are in BullMQ's failed set, where only workers that are not Holdfast's put them.`,
      'Retry them in BullMQ, or replay them from the outbox.',
    );
  if (workers !== null && workers.length === 0 && waiting + delayed > 0)
    remark(
      'queue.unread',
      `${waiting + delayed} messages wait in the queue ${destination}, and no consumer is connected to it.`,
      'Start the consumer; see that it has the same destination, prefix and Redis as the relay.',
    );
  return { waiting, active, delayed, failed, paused, consumers: workers?.length ?? null, foreign, remarks };
}

export async function readQueueState(
  access: QueueAccess,
  destination: string,
  { partitions, owner }: { partitions: number; owner: string | null },
): Promise<QueueState> {
  const nowMs = Date.now();
  const base = await access.partition(destination, 0);
  const meta = await base.getQueueMeta();
  if (owner !== null) await base.setQueueMeta({ [OWNER + owner]: nowMs });
  const most = Math.max(partitions, layoutOf(meta).widest ?? 0);
  const queues = await Promise.all(Array.from({ length: most }, (_, index) => access.partition(destination, index)));
  const [counts, clients] = await Promise.all([
    Promise.all(queues.map((queue) => queue.getCounts([...STATES] as JobType[]))),
    access.clientLists(),
  ]);
  const sum = (state: (typeof STATES)[number]): number =>
    counts.reduce((total, each) => total + (each[STATES.indexOf(state)] ?? 0), 0);
  return assessQueue({
    destination,
    meta,
    waiting: sum('wait') + sum('paused') + sum('prioritized'),
    active: sum('active'),
    delayed: sum('delayed'),
    failed: sum('failed'),
    workers:
      clients === null
        ? null
        : workersOf(
            clients.join('\n'),
            queues.map((queue) => queue.clientName()),
          ),
    owner,
    nowMs,
  });
}

/** @param names how the clients of each queue are called, without the suffix of a worker */
export function workersOf(clientList: string, names: readonly string[]): readonly string[] {
  const found = [...clientList.matchAll(/(?:^|\s)name=(\S+)/gm)].map(([, name]) => name ?? '');
  return found.filter((name) => names.some((own) => name === own || name.startsWith(`${own}:w:`)));
}

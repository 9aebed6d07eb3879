/**
 * The number of partitions of a destination, written beside its first queue, so that processes that were configured with different numbers
 * find out. A publisher of an ordered destination then waits until the messages of the other layout are drained. A receiver reads every
 * partition that may hold something.
 */
import type { IQueueBackend, JobType } from 'bullmq';
import { HoldfastError } from '../../errors.ts';
import type { QueueAccess } from './queue-access.ts';

/** Marks a queue whose global concurrency was set here, so that an unordered receiver takes back only our own setting. */
export const ORDER_MARK = 'holdfastOrdered';
/** The states of what is not done. On PostgreSQL, what waits in a paused queue is 'paused', which BullMQ's type forgets. */
const UNFINISHED = ['wait', 'paused', 'active', 'delayed', 'prioritized'] as readonly JobType[];
/** By how many partitions messages are spread now. */
const PARTITIONS = 'holdfastPartitions';
/** The most there ever were: what lies beyond the present number may still hold something. */
const WIDEST = 'holdfastWidest';

export interface PartitionLayout {
  /** Null: nobody has written it yet. */
  readonly partitions: number | null;
  readonly widest: number | null;
  readonly ordered: boolean;
}

/** @param meta of the destination's first queue */
export function layoutOf(meta: Readonly<Record<string, string | null>>): PartitionLayout {
  return {
    partitions: numberOf(meta[PARTITIONS]),
    widest: numberOf(meta[WIDEST]),
    ordered: (meta[ORDER_MARK] ?? null) !== null,
  };
}

function numberOf(text: string | null | undefined): number | null {
  const value = Number(text ?? Number.NaN);
  return Number.isInteger(value) && value > 0 ? value : null;
}

async function readLayout(base: IQueueBackend): Promise<PartitionLayout> {
  const fields = [PARTITIONS, WIDEST, ORDER_MARK];
  const values = await base.getQueueMetaFields(fields);
  return layoutOf(Object.fromEntries(fields.map((field, index) => [field, values[index] ?? null])));
}

async function writeLayout(base: IQueueBackend, own: number, { widest, partitions }: PartitionLayout): Promise<void> {
  await base.setQueueMeta({ [PARTITIONS]: own, [WIDEST]: Math.max(own, widest ?? 0, partitions ?? 0) });
}

/**
 * A publisher may spread messages over `own` partitions. Rejects while an ordered destination holds messages that were spread over
 * another number: the next of a key could overtake those in another queue.
 */
export async function agreeOnLayout(access: QueueAccess, destination: string, own: number): Promise<void> {
  const base = await access.partition(destination, 0);
  const layout = await readLayout(base);
  if (layout.partitions === own) return;
  if (layout.partitions !== null && layout.ordered) {
    const most = Math.max(own, layout.partitions, layout.widest ?? 0);
    const left = await messagesIn(access, destination, 0, most);
    if (left > 0) {
      throw new HoldfastError(
        'HF_TRANSPORT_UNAVAILABLE',
        `${destination} is ordered and holds ${left} messages spread over ${layout.partitions} partitions; this publisher was told ${own}`,
        {
          advice:
            'It goes on by itself once consumers have drained them. If the number was not to change, mend queues.',
          details: { destination, partitions: layout.partitions, own, left },
        },
      );
    }
  }
  await writeLayout(base, own, layout);
}

/** The further partitions that a receiver of `own` partitions must read: those written down, and older ones that hold messages. */
export async function partitionsBeyond(
  access: QueueAccess,
  destination: string,
  own: number,
): Promise<{ readonly layout: PartitionLayout; readonly beyond: readonly number[] }> {
  const base = await access.partition(destination, 0);
  const layout = await readLayout(base);
  if (layout.partitions === null) await writeLayout(base, own, layout);
  const beyond: number[] = [];
  for (let partition = own; partition < Math.max(layout.partitions ?? 0, layout.widest ?? 0); partition += 1) {
    const current = partition < (layout.partitions ?? 0);
    if (current || (await messagesIn(access, destination, partition, partition + 1)) > 0) beyond.push(partition);
  }
  return { layout, beyond };
}

/** How many messages lie in partitions `from` to before `to`, in flight ones included. */
async function messagesIn(access: QueueAccess, destination: string, from: number, to: number): Promise<number> {
  const counts = await Promise.all(
    Array.from({ length: Math.max(0, to - from) }, async (_, index) => {
      const queue = await access.partition(destination, from + index);
      return queue.getCounts([...UNFINISHED]);
    }),
  );
  return counts.flat().reduce((sum, count) => sum + count, 0);
}

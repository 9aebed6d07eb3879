/**
 * What the name of a consumer stands for. Marks, parked messages and retries are kept under it: two services that chose the same name,
 * each with a queue of its own, would take each other's messages for duplicates. So the queues of a name are stored at its first
 * start, and whoever comes with another queue is refused, unless it says that it is the same consumer, moved. Used by consumer.ts.
 */
import { HoldfastError } from '../errors.ts';
import type { SqlExecutor } from '../postgres/executor.ts';
import type { SuspectStore } from './suspect-store.ts';

export interface Identity {
  readonly consumer: string;
  readonly destination: string;
  /** Queues it has received from before, as the one who starts it says. */
  readonly former: readonly string[];
}

/**
 * What is to be stored, or null for nothing new. Processes of before and after a move run beside each other: both queues are then its own.
 * @throws HoldfastError HF_CONSUMER_NAME
 */
export function judgeIdentity(
  { consumer, destination, former }: Identity,
  known: readonly string[] | null,
): readonly string[] | null {
  if (known === null) return [destination];
  if (known.includes(destination)) return null;
  if (former.some((queue) => known.includes(queue))) return [...known, destination];
  throw new HoldfastError(
    'HF_CONSUMER_NAME',
    `The consumer ${JSON.stringify(consumer)} of this schema receives from ${known.map((queue) => JSON.stringify(queue)).join(' and ')}, not from ${JSON.stringify(destination)}.`,
    {
      advice:
        'If this is another consumer, give it a name of its own: they would take each other’s messages for duplicates. If it is the same one with another queue, say so once by formerDestinations.',
      details: { consumer, destination, known },
    },
  );
}

/** Reads first: the usual start writes nothing. Rejects with HF_CONSUMER_NAME. */
export async function assertIdentity(
  transaction: <T>(fn: (execute: SqlExecutor) => Promise<T>) => Promise<T>,
  store: Pick<SuspectStore, 'destinations' | 'storeDestinations'>,
  identity: Identity,
): Promise<void> {
  for (;;) {
    const known = await transaction((execute) => store.destinations(execute));
    const next = judgeIdentity(identity, known === null ? null : (JSON.parse(known) as readonly string[]));
    if (next === null) return;
    // Not when another process has stored something since: then it is looked at again.
    if (await transaction((execute) => store.storeDestinations(execute, known, JSON.stringify(next)))) return;
  }
}

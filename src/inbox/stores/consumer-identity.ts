/**
 * Guards the name of a consumer. Marks, parked messages and retries are kept under it. Two services with the same name and different queues
 * would take each other's messages for duplicates. So the queues of a name are stored at the first start. Another queue is refused
 * later, unless the options say that the consumer has moved. Broker and retention, which all processes of a consumer should have
 * alike, are stored too; a difference is logged.
 */
import { HoldfastError } from '../../errors.ts';
import type { SqlExecutor } from '../../postgres/executor.ts';
import type { SuspectStore } from './suspect-store.ts';

export interface ConsumerIdentity {
  readonly consumer: string;
  readonly destination: string;
  /** Queues it has received from before, as the one who starts it says. */
  readonly former: readonly string[];
  readonly retentionMs: number;
  /** Address of its broker; null: not known. */
  readonly broker: string | null;
}

/** What is stored. */
export interface StoredIdentity {
  readonly queues: readonly string[];
  /** Of the process that was started last. */
  readonly retentionMs: number;
  readonly broker: string | null;
}

export interface IdentityCheck {
  /** To be stored; null: nothing new. */
  readonly next: StoredIdentity | null;
  /** What this process was told otherwise than the one that was started last, in words. */
  readonly differs: readonly string[];
}

/**
 * Pure. During a move, processes of before and after it run at the same time: both queues then belong to the consumer.
 * @throws HoldfastError HF_CONSUMER_NAME
 */
export function checkIdentity(identity: ConsumerIdentity, known: StoredIdentity | null): IdentityCheck {
  const { destination, retentionMs, broker } = identity;
  const next = {
    queues: queuesOf(identity, known?.queues ?? []),
    retentionMs,
    broker: broker ?? known?.broker ?? null,
  };
  if (known === null) return { next, differs: [] };
  const differs = [
    ...(known.broker === next.broker || known.broker === null
      ? []
      : [`broker ${next.broker} instead of ${known.broker}`]),
    ...(known.retentionMs === retentionMs
      ? []
      : [`retention ${retentionMs} ms instead of ${known.retentionMs} ms, of which the shorter one counts`]),
  ];
  const same = differs.length === 0 && known.queues.includes(destination) && known.broker === next.broker;
  return { next: same ? null : next, differs };
}

function queuesOf({ consumer, destination, former }: ConsumerIdentity, known: readonly string[]): readonly string[] {
  if (known.includes(destination)) return known;
  if (known.length === 0 || former.some((queue) => known.includes(queue))) return [...known, destination];
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

/** Reads first: the usual start writes nothing. Resolves with what differs. Rejects with HF_CONSUMER_NAME. */
export async function assertIdentity(
  transaction: <T>(fn: (execute: SqlExecutor) => Promise<T>) => Promise<T>,
  store: Pick<SuspectStore, 'identity' | 'storeIdentity'>,
  identity: ConsumerIdentity,
): Promise<readonly string[]> {
  for (;;) {
    const known = await transaction((execute) => store.identity(execute));
    const { next, differs } = checkIdentity(identity, known === null ? null : (JSON.parse(known) as StoredIdentity));
    if (next === null) return differs;
    // Not when another process has stored something since: then it is looked at again.
    if (await transaction((execute) => store.storeIdentity(execute, known, JSON.stringify(next)))) return differs;
  }
}

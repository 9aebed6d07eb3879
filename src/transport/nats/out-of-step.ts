/**
 * Consumers of NATS that are out of step with their stream. Where a server dies that leads either of them, the next one may know less: the
 * consumer takes a message for handed out that never was, and never hands it out; or it waits for the acknowledgement of one that is
 * gone, and with `max_ack_pending: 1` hands out nothing more. Both stand for good, and neither the server nor a client tells of it.
 *
 * A work queue holds what is not acknowledged, so the oldest message of a consumer's subject says where it ought to stand. One that is made
 * anew hands out all that is there: what is lost is the count of deliveries, and what somebody has in hand comes twice.
 */
import type { ConsumerInfo } from '@nats-io/jetstream';
import { apiCodeOf, CODES } from './errors.ts';
import type { NatsLink } from './link.ts';
import { consumerName, type DestinationNames, type PartitionPlace, subjectOf } from './names.ts';

/** Where a consumer stands, and where its messages begin. Numbers of messages in the stream. */
export interface ConsumerStand {
  /** When it was made: one that was made anew begins anew. */
  readonly created: string;
  /** The last that it has handed out. */
  readonly delivered: number;
  /** All up to here are acknowledged. */
  readonly floor: number;
  /** So many were handed out and are not. */
  readonly unacknowledged: number;
  /** The oldest message that it is to hand out, or has; null: there is none. */
  readonly first: number | null;
}

/** Whether these cannot both be so for longer than an acknowledgement takes on its way. Pure. */
export function isAtOdds(stand: ConsumerStand, ordered: boolean): boolean {
  const { delivered, floor, unacknowledged, first } = stand;
  if (first === null) return unacknowledged > 0;
  if (unacknowledged === 0) return first <= delivered;
  // All that was handed out is gone, or one before it is still there.
  return first > delivered || (ordered ? first < delivered : first <= floor);
}

/** Whether a consumer was at odds with its stream over the same message at two looks. Pure. */
export function isOutOfStep(before: ConsumerStand | undefined, now: ConsumerStand, ordered: boolean): boolean {
  if (before === undefined || before.created !== now.created) return false;
  if (!isAtOdds(before, ordered) || !isAtOdds(now, ordered) || before.first !== now.first) return false;
  // A message that is passed over stays so. Of those that are gone, the acknowledgements may only be late.
  const passedOver = now.first !== null && now.first <= now.delivered;
  return passedOver || (before.delivered === now.delivered && before.floor === now.floor);
}

/** Looks at the consumers of one destination, again and again. */
export class StepWatch {
  readonly #names: DestinationNames;
  readonly #ordered: boolean;
  readonly #before = new Map<string, ConsumerStand>();

  constructor(names: DestinationNames, ordered: boolean) {
    this.#names = names;
    this.#ordered = ordered;
  }

  /** True when the consumer of a place has to be made anew. Rejects with anything of the broker. */
  async look(link: NatsLink, place: PartitionPlace | null): Promise<boolean> {
    const name = consumerName(place);
    const before = this.#before.get(name);
    this.#before.delete(name);
    const now = await standOf(link, this.#names, place);
    if (isOutOfStep(before, now, this.#ordered)) return true;
    this.#before.set(name, now);
    return false;
  }
}

/** The consumer first: what is acknowledged between the two questions is looked at again. */
async function standOf(link: NatsLink, names: DestinationNames, place: PartitionPlace | null): Promise<ConsumerStand> {
  const info: ConsumerInfo = await link.api.consumers.info(names.stream, consumerName(place));
  return {
    created: info.created,
    delivered: info.delivered.stream_seq,
    floor: info.ack_floor.stream_seq,
    unacknowledged: info.num_ack_pending,
    first: await firstOf(link, names.stream, place === null ? names.subjects : subjectOf(names, place)),
  };
}

/** The number of the oldest message of a subject; null: there is none. */
async function firstOf(link: NatsLink, stream: string, subject: string): Promise<number | null> {
  // The client's types know this of direct requests alone; servers know it of all.
  const oldest = { seq: 1, next_by_subj: subject };
  try {
    return (await link.api.streams.getMessage(stream, oldest))?.seq ?? null;
  } catch (error) {
    if (apiCodeOf(error) === CODES.noMessageFound) return null;
    throw error;
  }
}

/**
 * The consumers of a stream, which are the server's memory of who has what: what ours must be like, making one, and what to do where another
 * one is in the way. One that reads a destination without order has all of it; one that reads in order has a partition, and hands out one
 * message at a time, over all processes.
 */
import type { ConsumerConfig, ConsumerInfo } from '@nats-io/jetstream';
import { HoldfastError } from '../../errors.ts';
import { apiCodeOf, CODES } from './errors.ts';
import type { NatsLink } from './link.ts';
import { consumerName, type DestinationNames, type PartitionPlace, readingOf, subjectOf } from './names.ts';
import type { NatsSettings } from './options.ts';
import { NANOS_PER_MS } from './streams.ts';

type ConsumerSettings = Pick<NatsSettings, 'claimDurationMs' | 'maxUnacknowledged'>;
type WantedConsumer = ConsumerConfig & Required<Pick<ConsumerConfig, 'ack_wait' | 'max_ack_pending' | 'max_deliver'>>;

/** @param place null: all, without order. Pure. */
export function wantedConsumer(
  names: DestinationNames,
  place: PartitionPlace | null,
  settings: ConsumerSettings,
): WantedConsumer {
  return {
    durable_name: consumerName(place),
    filter_subject: place === null ? names.subjects : subjectOf(names, place),
    ack_policy: 'explicit',
    deliver_policy: 'all',
    replay_policy: 'instant',
    ack_wait: settings.claimDurationMs * NANOS_PER_MS,
    max_deliver: -1,
    max_ack_pending: place === null ? settings.maxUnacknowledged : 1,
  };
}

/** What must become of a consumer of our name that is there. Pure. */
export function assessConsumer(wanted: WantedConsumer, config: ConsumerConfig): 'fits' | 'update' | 'unusable' {
  const isPush = typeof config.deliver_subject === 'string' && config.deliver_subject !== '';
  if (isPush || config.ack_policy !== wanted.ack_policy || config.filter_subject !== wanted.filter_subject)
    return 'unusable';
  const same = (['ack_wait', 'max_ack_pending', 'max_deliver'] as const).every((name) => config[name] === wanted[name]);
  return same && (config.backoff ?? []).length === 0 ? 'fits' : 'update';
}

/** The consumer of a place, made or brought into line where that may be. Rejects with what is in its way. */
export async function ensureConsumer(
  link: NatsLink,
  names: DestinationNames,
  {
    place,
    settings,
  }: { readonly place: PartitionPlace | null; readonly settings: ConsumerSettings & Pick<NatsSettings, 'create'> },
): Promise<ConsumerInfo> {
  const wanted = wantedConsumer(names, place, settings);
  const name = consumerName(place);
  const info = await findConsumer(link, names.stream, name);
  if (info === null) {
    if (settings.create) return link.api.consumers.add(names.stream, wanted);
    throw new HoldfastError(
      'HF_CONFIG',
      `The stream ${names.stream} has no consumer ${name}, and this transport is not to make it (create: false).`,
      {
        advice: 'Make it as docs/transports.md says.',
        details: { stream: names.stream, consumer: name },
      },
    );
  }
  const verdict = assessConsumer(wanted, info.config);
  if (verdict === 'unusable')
    throw new HoldfastError(
      'HF_CONFIG',
      `The consumer ${name} of the stream ${names.stream} is not one of Holdfast's.`,
      {
        advice: 'Remove it; it is made anew, and no message is lost with it.',
        details: { stream: names.stream, consumer: name },
      },
    );
  if (verdict === 'fits' || !settings.create) return info;
  const { ack_wait, max_ack_pending, max_deliver } = wanted;
  return link.api.consumers.update(names.stream, name, { ack_wait, max_ack_pending, max_deliver });
}

/** Null: there is none. */
async function findConsumer(link: NatsLink, stream: string, name: string): Promise<ConsumerInfo | null> {
  try {
    return await link.api.consumers.info(stream, name);
  } catch (error) {
    if (apiCodeOf(error) === CODES.consumerNotFound) return null;
    throw error;
  }
}

/** Whether the server refused a consumer because another one has its messages. */
export function isOverlap(error: unknown): boolean {
  const code = apiCodeOf(error);
  return code === CODES.consumersOverlap || code === CODES.severalUnfilteredConsumers;
}

/** What is seen of a consumer from outside. */
export type ConsumerSight = Pick<ConsumerInfo, 'name' | 'num_waiting' | 'num_ack_pending' | 'delivered' | 'ack_floor'>;

/**
 * Whether nobody reads by this consumer any more: nobody has asked it for messages, and nothing was handed out or acknowledged, for longer
 * than a claim lasts. Pure.
 *
 * @param before how it was `elapsedMs` ago; null: not looked at
 */
export function isAbandoned(
  before: ConsumerSight | null,
  now: ConsumerSight,
  elapsedMs: number,
  claimMs: number,
): boolean {
  if (now.num_waiting > 0) return false;
  if (now.num_ack_pending === 0) return true;
  if (before === null || elapsedMs <= claimMs || before.num_waiting > 0) return false;
  return (
    before.delivered.consumer_seq === now.delivered.consumer_seq &&
    before.ack_floor.consumer_seq === now.ack_floor.consumer_seq &&
    before.num_ack_pending === now.num_ack_pending
  );
}

/**
 * Removes consumers of the other way of reading when a destination is to be read in order that was not before, or the other way round. Messages stay:
 * what was handed out and not acknowledged is handed out again.
 */
export class FormerConsumers {
  readonly #seen = new Map<string, { readonly sight: ConsumerSight; readonly atMs: number }>();

  /** Resolves when the way is free. Rejects with who is in it. */
  async remove(
    link: NatsLink,
    names: DestinationNames,
    { ordered, claimMs }: { ordered: boolean; claimMs: number },
  ): Promise<void> {
    const mine = ordered ? 'ordered' : 'unordered';
    const nowMs = performance.now();
    for await (const sight of link.api.consumers.list(names.stream)) {
      const reading = readingOf(sight.name);
      if (reading === mine) continue;
      const before = this.#seen.get(sight.name);
      if (before === undefined) this.#seen.set(sight.name, { sight, atMs: nowMs });
      if (reading !== null && isAbandoned(before?.sight ?? null, sight, nowMs - (before?.atMs ?? nowMs), claimMs)) {
        await link.api.consumers.delete(names.stream, sight.name);
        continue;
      }
      if (before !== undefined && nowMs - before.atMs > claimMs) this.#seen.set(sight.name, { sight, atMs: nowMs });
      throw inTheWay(names, sight.name, reading);
    }
  }
}

function inTheWay(
  { destination, stream }: DestinationNames,
  consumer: string,
  reading: 'ordered' | 'unordered' | null,
): HoldfastError {
  const details = { destination, stream, consumer };
  if (reading === null)
    return new HoldfastError('HF_CONFIG', `The consumer ${consumer} of somebody else reads the stream ${stream}.`, {
      advice: 'A destination is read by Holdfast alone: stop what uses that consumer, and remove it.',
      details,
    });
  return new HoldfastError(
    'HF_CONFIG',
    `${destination} is read ${reading === 'ordered' ? 'in order' : 'without order'} by others, or was until just now.`,
    {
      advice: 'Give all consumers of a destination the same ordered. It goes on by itself when the others are gone.',
      details,
    },
  );
}

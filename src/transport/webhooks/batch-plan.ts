/**
 * How the messages of a batch go to an endpoint: each key one after the other, different keys side by side. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import type { OutboundMessage, Postponement, PublishOutcome } from '../port.ts';

/** A message of a batch that is to be sent. */
export interface PlacedWebhook {
  readonly message: OutboundMessage;
  /** Place in the batch. */
  readonly index: number;
}

/** Messages of one key in their order; one without a key is alone. In the order of their first ones. */
export function chainsOf(parcels: readonly PlacedWebhook[]): readonly (readonly PlacedWebhook[])[] {
  const chains: PlacedWebhook[][] = [];
  const byKey = new Map<string, PlacedWebhook[]>();
  for (const parcel of parcels) {
    const { key } = parcel.message;
    const known = key === null ? undefined : byKey.get(key);
    if (known !== undefined) {
      known.push(parcel);
      continue;
    }
    const chain = [parcel];
    chains.push(chain);
    if (key !== null) byKey.set(key, chain);
  }
  return chains;
}

export const TAKEN: PublishOutcome = { kind: 'published' };

export function refusedForGood(error: Error): PublishOutcome {
  return { kind: 'refused', permanent: true, error };
}

export function postponed(error: Error, later: Postponement): PublishOutcome {
  return { kind: 'refused', permanent: false, error, later };
}

/** Nothing is known against it: it goes out with the next call. */
export function unsent(name: string, why: string): PublishOutcome {
  const error = new HoldfastError('HF_TRANSPORT_UNAVAILABLE', `The endpoint ${JSON.stringify(name)} ${why}.`, {
    advice: 'It is sent when its turn comes.',
  });
  return postponed(error, { delayMs: 0, attempted: false });
}

/** It was not sent, because the endpoint is left alone for a while. */
export function resting(name: string, restMs: number): PublishOutcome {
  const error = new HoldfastError(
    'HF_TRANSPORT_UNAVAILABLE',
    `The endpoint ${JSON.stringify(name)} is left alone for a while.`,
    {
      advice: 'It failed lately, asked for time, or held up the others. The message goes out after that.',
    },
  );
  return postponed(error, { delayMs: Math.ceil(restMs), attempted: false });
}

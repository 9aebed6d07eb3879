/**
 * The flood: plain messages, numbered within streams. Two kinds are ordered by their stream, two are not; of each two one is handled
 * message by message and one in batches.
 */
import { z } from 'zod';
import { message, type MessageType, type Route } from '../../../src/index.ts';

export interface Drop {
  readonly stream: string;
  /** Its place in the commit order of its stream, from 1 on. */
  readonly n: number;
  readonly pad?: string | undefined;
}

export interface Flood {
  /** Of its destination and of its consumer. */
  readonly name: string;
  readonly ordered: boolean;
  readonly batch: boolean;
  readonly streams: readonly string[];
  readonly type: MessageType<string, Drop, Drop>;
}

const schema = z.object({ stream: z.string(), n: z.int(), pad: z.string().optional() });

function flood(
  name: string,
  options: { readonly ordered: boolean; readonly batch: boolean; readonly streams: number },
): Flood {
  const { ordered, batch } = options;
  const topic = `flood.${name}`;
  return {
    name,
    ordered,
    batch,
    streams: Array.from({ length: options.streams }, (_, index) => `${name}/${index}`),
    type: ordered ? message(topic, { schema, key: ({ stream }) => stream }) : message(topic, { schema }),
  };
}

export const FLOODS: readonly Flood[] = [
  flood('ordered', { ordered: true, batch: false, streams: 48 }),
  flood('ordered-batched', { ordered: true, batch: true, streams: 48 }),
  flood('single', { ordered: false, batch: false, streams: 12 }),
  flood('batched', { ordered: false, batch: true, streams: 12 }),
];

export const FLOOD_ROUTES: readonly Route[] = FLOODS.map(({ name, ordered, type }) => ({
  topics: type.topic,
  to: name,
  ordered,
}));

/** Destinations whose consumers are ordered. */
export const ORDERED_FLOODS = FLOODS.filter(({ ordered }) => ordered).map(({ name }) => name);

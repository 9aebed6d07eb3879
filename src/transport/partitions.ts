/**
 * How many partitions destinations have, and which of them a message goes to, whatever the broker. Pure.
 */
import { HoldfastError } from '../errors.ts';
import { refuseUnknownOptions } from '../runtime/options.ts';
import type { OutboundMessage } from './port.ts';

const MAX_PARTITIONS = 1024;

/**
 * The number of partitions that a layout gives; 1 without one.
 *
 * @param refusal says that the number is wrong
 * @throws HoldfastError HF_CONFIG
 */
export function partitionCount(given: number | undefined, refusal: (given: number) => string): number {
  const partitions = given ?? 1;
  if (Number.isInteger(partitions) && partitions >= 1 && partitions <= MAX_PARTITIONS) return partitions;
  throw new HoldfastError('HF_CONFIG', refusal(partitions), {
    advice: `Give a whole number from 1 to ${MAX_PARTITIONS}.`,
  });
}

/** What differs between adapters whose layouts say nothing but this number. */
export interface LayoutChecks {
  /** What the layout of a destination is called in errors. */
  readonly nameOf: (destination: string) => string;
  readonly refusal: (destination: string, partitions: number) => string;
  /** Throws for a destination that the broker cannot have. */
  readonly assertDestination: (destination: string) => void;
}

/**
 * How many partitions each destination has, by the option `queues` of a transport.
 *
 * @throws HoldfastError HF_CONFIG or HF_OPTION_UNKNOWN
 */
export function partitionsOfQueues(
  queues: Readonly<Record<string, { readonly partitions?: number | undefined }>> = {},
  { nameOf, refusal, assertDestination }: LayoutChecks,
): (destination: string) => number {
  const counts = new Map<string, number>();
  for (const [destination, layout] of Object.entries(queues)) {
    assertDestination(destination);
    refuseUnknownOptions(layout, ['partitions'], nameOf(destination));
    counts.set(
      destination,
      partitionCount(layout.partitions, (given) => refusal(destination, given)),
    );
  }
  return (destination) => counts.get(destination) ?? 1;
}

/**
 * The partition of a message: its key decides, and without a key its id, so that a message published twice meets itself.
 * FNV-1a (32 bits, over UTF-16 code units) with the finish of MurmurHash3, modulo the number of partitions. Fixed for ever:
 * publishers of different versions must agree.
 */
export function partitionOf(message: Pick<OutboundMessage, 'id' | 'key'>, partitions: number): number {
  if (partitions === 1) return 0;
  const text = message.key ?? message.id;
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions;
}

/**
 * Which partition of a destination a message goes to, whatever the broker. Pure.
 */
import type { OutboundMessage } from './port.ts';

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

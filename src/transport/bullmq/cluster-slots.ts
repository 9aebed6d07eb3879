/**
 * Which node of a Redis Cluster has a key: the slot of a key, and the table of slots as a node tells it. Pure.
 */
import type { HostAndPort } from '../redis/redis-url.ts';

export const SLOTS = 16_384;

/** The slots `from` to `to`, and the master that serves them. */
export interface SlotRange {
  readonly from: number;
  readonly to: number;
  readonly master: HostAndPort;
}

/** Keys with the same text between their first `{` and the next `}` are in one slot. */
export function slotOf(key: string): number {
  const open = key.indexOf('{');
  const close = key.indexOf('}', open + 1);
  return crc16(Buffer.from(open < 0 || close <= open + 1 ? key : key.slice(open + 1, close))) % SLOTS;
}

/** Whether a text before or in a key decides its slot by itself. */
export function hasHashTag(text: string): boolean {
  const open = text.indexOf('{');
  return open >= 0 && text.indexOf('}', open + 1) > open + 1;
}

/** CRC16-CCITT (XMODEM). */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    crc &= 0xffff;
  }
  return crc;
}

/**
 * The answer to CLUSTER SLOTS. A node that does not know its own address, or is told to keep it to itself, leaves it out: it is the one
 * that was asked.
 *
 * @throws Error when it is none
 */
export function readSlots(answer: unknown, asked: HostAndPort): readonly SlotRange[] {
  if (!Array.isArray(answer)) throw new Error('the answer to CLUSTER SLOTS cannot be read');
  return answer.map((entry: unknown) => {
    const [from, to, master] = Array.isArray(entry) ? (entry as readonly unknown[]) : [];
    const [host, port] = Array.isArray(master) ? (master as readonly unknown[]) : [];
    const range = { from: Number(from), to: Number(to), port: Number(port) };
    if (Object.values(range).some((value) => !Number.isInteger(value)))
      throw new Error('the answer to CLUSTER SLOTS cannot be read');
    const known = typeof host === 'string' && host !== '' && host !== '?';
    return {
      from: range.from,
      to: range.to,
      master: { host: known ? host : asked.host, port: range.port === 0 ? asked.port : range.port },
    };
  });
}

export function masterOf(ranges: readonly SlotRange[], slot: number): HostAndPort | undefined {
  return ranges.find(({ from, to }) => from <= slot && slot <= to)?.master;
}

/**
 * The id of a run that another run starts. Pure.
 *
 * It follows from the parent and the call: after a restore to an earlier moment the parent starts the same child again, whose steps then
 * have the idempotency keys they had, and the other side recognises them.
 */
import { createHash } from 'node:crypto';

/** A UUID of version 8 (RFC 9562), with the time of the parent's in front, so that families stand together in an index. */
export function childRunId(parent: string, call: string): string {
  const bytes = createHash('sha256').update(`${parent}:${call}`).digest().subarray(0, 16);
  bytes.set(Buffer.from(parent.replaceAll('-', '').slice(0, 12), 'hex'));
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

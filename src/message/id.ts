/**
 * Message ids: UUID version 7 (RFC 9562), so that they sort by time and sit side by side in an index.
 * Within one process they ascend strictly, also within a millisecond and when the clock steps back.
 */
import { v7 } from 'uuid';

export function messageId(): string {
  return v7();
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** True for a UUID of any version in the usual text form; that is what PostgreSQL's uuid prints. */
export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && UUID.test(value);
}

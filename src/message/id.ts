/**
 * Message ids: UUID version 7 (RFC 9562), so that they sort by time and sit side by side in an index.
 * Within one process they ascend strictly, also within a millisecond and when the clock steps back.
 */
import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

/** Random bytes are fetched for this many ids at a time: each time costs as much as all the rest of an id. */
const IDS_AT_A_TIME = 256;
const BYTES = 16;
const random = new Uint8Array(IDS_AT_A_TIME * BYTES);
let used = random.length;
let msecs = 0;
let seq = 0;

export function messageId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  const bytes = random.subarray(used, (used += BYTES));
  const now = Date.now();
  if (now > msecs) {
    msecs = now;
    seq = firstSeq(bytes);
  } else {
    seq += 1;
    if (seq > MOST_SEQ) {
      msecs += 1;
      seq = firstSeq(bytes);
    }
  }
  return v7({ random: bytes, msecs, seq });
}

/** The 32 bits behind the time count within a millisecond. They begin in the lower half, so that there is room to count. */
const MOST_SEQ = 0xff_ff_ff_ff;

function firstSeq(bytes: Uint8Array): number {
  return (((bytes[0] ?? 0) & 0x7f) << 24) | ((bytes[1] ?? 0) << 16) | ((bytes[2] ?? 0) << 8) | (bytes[3] ?? 0);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** True for a UUID of any version in the usual text form; that is what PostgreSQL's uuid prints. */
export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && UUID.test(value);
}

/**
 * Arrays in PostgreSQL's binary format, as parameters: the server copies their elements where it would have to parse a text. For what is
 * sent in bulk.
 *
 * The format (array_recv in the server's arrayfuncs.c): number of dimensions, whether there are nulls, the element's type, then for each
 * dimension its size and lower bound, then each element behind its length in bytes, -1 for null. All of them 32 bits, big-endian.
 */

/** Types by their fixed numbers in pg_type. */
const OID = { int4: 23, json: 114, float8: 701, uuid: 2950 } as const;
const HEADER_BYTES = 20;

/** uuid[]. The ids are not checked: in hexadecimal, 36 characters. */
export function uuidArray(ids: readonly string[]): Buffer {
  const buffer = begin(OID.uuid, ids.length, 20 * ids.length);
  let at = HEADER_BYTES;
  for (const id of ids) {
    at = buffer.writeInt32BE(16, at);
    for (let index = 0; index < 36; index += 2) {
      if (id.charCodeAt(index) === HYPHEN) index += 1;
      buffer[at++] = (nibble(id.charCodeAt(index)) << 4) | nibble(id.charCodeAt(index + 1));
    }
  }
  return buffer;
}

const HYPHEN = 0x2d;

/** What a hexadecimal digit stands for: the letters of ASCII, large or small, have 1 to 6 in their last four bits. */
function nibble(code: number): number {
  return code < 0x40 ? code & 0xf : (code & 0xf) + 9;
}

/** int[]. */
export function int4Array(values: readonly number[]): Buffer {
  const buffer = begin(OID.int4, values.length, 8 * values.length);
  let at = HEADER_BYTES;
  for (const value of values) at = buffer.writeInt32BE(value, buffer.writeInt32BE(4, at));
  return buffer;
}

/** double precision[]. */
export function float8Array(values: readonly (number | null)[]): Buffer {
  const nulls = values.reduce<number>((count, value) => count + (value === null ? 1 : 0), 0);
  const buffer = begin(OID.float8, values.length, 12 * values.length - 8 * nulls, nulls > 0);
  let at = HEADER_BYTES;
  for (const value of values)
    at = value === null ? buffer.writeInt32BE(-1, at) : buffer.writeDoubleBE(value, buffer.writeInt32BE(8, at));
  return buffer;
}

/** json[], of JSON texts. */
export function jsonArray(texts: readonly string[]): Buffer {
  const bytes = texts.reduce((sum, text) => sum + 4 + Buffer.byteLength(text), 0);
  const buffer = begin(OID.json, texts.length, bytes);
  let at = HEADER_BYTES;
  for (const text of texts) {
    const written = buffer.write(text, at + 4);
    buffer.writeInt32BE(written, at);
    at += 4 + written;
  }
  return buffer;
}

/** Of one dimension, counted from 1. */
function begin(type: number, length: number, bytes: number, hasNulls = false): Buffer {
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + bytes);
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(hasNulls ? 1 : 0, 4);
  buffer.writeInt32BE(type, 8);
  buffer.writeInt32BE(length, 12);
  buffer.writeInt32BE(1, 16);
  return buffer;
}

/**
 * What becomes of a message that is given another payload: the whole, or what is different. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import { readIncoming } from '../../inbox/delivery/incoming.ts';
import { isEncrypted } from '../../message/encrypted-value.ts';
import { altersNumbers } from '../../message/exact-json.ts';
import { encodePayload } from '../../message/payload.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';

/** The header of a new version; its value is the id of the message whose place it takes, which is its own where it keeps that. */
export const REVISES_HEADER = 'holdfast-revises';

/** Another payload: the whole, or what is different. */
export type PayloadRevision =
  | { readonly payload: unknown }
  /** A JSON merge patch (RFC 7396): objects are merged, null takes a member away, anything else replaces. */
  | { readonly patch: unknown };

/** A message before and after. */
export interface Revised {
  readonly before: unknown;
  readonly after: unknown;
  /** JSON text of the new version. */
  readonly envelope: string;
  /** JSON text of its payload. */
  readonly payload: string;
  /** Of the payload. */
  readonly bytes: number;
}

/** Attributes that say that the data is not, or not as it is, in the envelope. */
const ELSEWHERE = ['dataref', 'data_base64', 'datacodec'];

/** Pure. Throws HF_CONFIG, and what a sender of such a payload would get. */
export function revise(
  wire: string,
  revision: PayloadRevision,
  { id, newId }: { readonly id: string; readonly newId: string },
): Revised {
  const { envelope: readable, error } = readIncoming(wire);
  if (readable !== null && 'patch' in revision && isEncrypted(readable.data)) {
    throw new HoldfastError(
      'HF_CONFIG',
      `The payload of message ${id} is encrypted, so no part of it can be replaced.`,
      {
        advice: 'Give the whole payload; it is kept as you give it.',
      },
    );
  }
  if (readable === null) {
    throw new HoldfastError(
      'HF_CONFIG',
      `Message ${id} cannot be read, so it cannot be edited: ${error?.message ?? ''}`,
      {
        advice: 'Discard it, and have its service send it again.',
        cause: error,
      },
    );
  }
  const { data: before, headers, ...attributes } = JSON.parse(wire) as Record<string, unknown>;
  const elsewhere = ELSEWHERE.find((name) => Object.hasOwn(attributes, name));
  if (elsewhere !== undefined) {
    throw new HoldfastError('HF_CONFIG', `The data of message ${id} is not in it as it is (${elsewhere}).`, {
      advice: 'It is encoded or stored elsewhere: have its service send it again, and discard this one.',
    });
  }
  const after = revisedPayload(before, revision, wire);
  const text = encodePayload(after, { maxBytes: DEFAULT_MAX_BYTES, where: readable.topic });
  const revised = { ...attributes, id: newId, headers: { ...(headers as object | undefined), [REVISES_HEADER]: id } };
  // The payload as it was encoded.
  return {
    before,
    after,
    envelope: `${JSON.stringify(revised).slice(0, -1)},"data":${text}}`,
    payload: text,
    bytes: Buffer.byteLength(text),
  };
}

function revisedPayload(before: unknown, revision: PayloadRevision, wire: string): unknown {
  refuseUnknownOptions(revision, ['payload', 'patch'], 'reviseParked');
  if ('payload' in revision === 'patch' in revision) {
    throw new HoldfastError('HF_CONFIG', 'A payload or a patch is needed, and not both.', {
      advice: 'Give one of them.',
    });
  }
  if ('payload' in revision) return revision.payload;
  if (altersNumbers(wire)) {
    throw new HoldfastError('HF_CONFIG', 'The message has numbers that would be altered by reading it.', {
      advice: 'Give the whole payload instead of a patch.',
    });
  }
  return mergePatch(before, revision.patch);
}

/** RFC 7396. Pure. */
export function mergePatch(value: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map<string, unknown>(isObject(value) ? Object.entries(value) : []);
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), change));
  }
  return Object.fromEntries(merged);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

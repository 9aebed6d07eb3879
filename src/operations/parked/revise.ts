/**
 * A parked message with another payload. A consumer keeps its own copy of what it has parked, and it alone handles that copy again, so a new
 * version takes its place there: nobody else sees it, and the order of its key is kept.
 *
 * What a relay has parked is a row of the log, which other subscriptions have read or will read, and which perhaps went out to some of its
 * destinations: another version of it, under another id, would be handled beside the first. So that is refused, with what to do instead.
 */
import { HoldfastError } from '../../errors.ts';
import { readIncoming, unpackWire } from '../../inbox/delivery/incoming.ts';
import { lockParkedEnvelope, replaceParkedEnvelope } from '../../inbox/stores/parked-operations.ts';
import { altersNumbers } from '../../message/exact-json.ts';
import { messageId } from '../../message/id.ts';
import { encodePayload } from '../../message/payload.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import type { Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { toExecutor } from '../../postgres/executor.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { assertReason, audited, parkedOnce, type DiscardSelection } from './interventions.ts';

/** The header of a new version; its value is the id of the message whose place it takes. */
export const REVISES_HEADER = 'holdfast-revises';

/** Another payload: the whole, or what is different. */
export type PayloadRevision =
  | { readonly payload: unknown }
  /** A JSON merge patch (RFC 7396): objects are merged, null takes a member away, anything else replaces. */
  | { readonly patch: unknown };

/** What {@link previewRevision} shows. */
export interface RevisionPreview {
  /** The consumer that has it parked. */
  readonly consumer: string;
  readonly topic: string;
  readonly key: string | null;
  readonly before: unknown;
  readonly after: unknown;
  /** False: it has numbers that JavaScript alters by reading them, so `before` is not quite what is there. */
  readonly exact: boolean;
}

/** What {@link reviseParked} has done. */
export interface RevisedMessage {
  readonly consumer: string;
  /** Of the new version. */
  readonly id: string;
  readonly replaces: string;
  readonly topic: string;
  readonly key: string | null;
}

/** Changes nothing. Rejects as reviseParked does. */
export async function previewRevision(
  database: Database,
  selection: DiscardSelection,
  revision: PayloadRevision,
): Promise<RevisionPreview> {
  const { consumer, id } = await placeOf(database, selection);
  return audited(database, async (client) => {
    const found = await lockParkedEnvelope(toExecutor(client), { schema: database.schema, consumer }, id);
    if (found === null) throw notThere(consumer, id);
    const { topic, key } = found;
    const wire = unpackWire(found.envelope);
    const { before, after } = revise(wire, revision, { id, newId: id });
    return { consumer, topic, key, before, after, exact: !altersNumbers(wire) };
  });
}

/** See {@link reviseParked} of the package: there its errors are told. */
export async function reviseParked(
  database: Database,
  selection: DiscardSelection,
  revision: PayloadRevision,
  act: Act & { readonly reason: string },
): Promise<RevisedMessage> {
  assertReason(act.reason, 'Say what was wrong with it');
  const { consumer, id } = await placeOf(database, selection);
  const newId = messageId();
  return audited(database, async (client, audit) => {
    const execute = toExecutor(client);
    const place = { schema: database.schema, consumer };
    const found = await lockParkedEnvelope(execute, place, id);
    if (found === null) throw notThere(consumer, id);
    const { envelope, bytes } = revise(unpackWire(found.envelope), revision, { id, newId });
    await replaceParkedEnvelope(execute, place, { id, newId, envelope });
    const { topic, key, state } = found;
    const { actor, reason } = act;
    const details = { kind: 'consumer', newId, topic, key, state, bytes };
    await audit({ actor, reason, action: 'parked.revise', subject: `${consumer}/${id}`, details });
    return { consumer, id: newId, replaces: id, topic, key };
  });
}

async function placeOf(database: Database, selection: DiscardSelection): Promise<{ consumer: string; id: string }> {
  const found = await parkedOnce(database, selection);
  if (found.kind === 'consumer') return { consumer: found.where, id: found.id };
  throw new HoldfastError(
    'HF_CONFIG',
    `Message ${found.id} is parked by the relay of ${found.where}, and cannot be edited there.`,
    {
      advice:
        'It is a row of the log, which others read too. Have the service send what is right as a new message, and discard this one.',
    },
  );
}

interface Revised {
  readonly before: unknown;
  readonly after: unknown;
  /** JSON text of the new version. */
  readonly envelope: string;
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

function notThere(consumer: string, id: string): HoldfastError {
  return new HoldfastError('HF_NOT_FOUND', `Consumer ${consumer} has no parked message ${id}.`, {
    advice: 'It may have been handled or discarded meanwhile; list what is parked.',
    details: { consumer, id },
  });
}

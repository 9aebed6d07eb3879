/**
 * A parked message with another payload, in the place that it has in the line of its key.
 *
 * A consumer keeps its own copy of what it has parked, and it alone handles that copy again: a new version, under an id of its own, takes the
 * place of the old one, which counts as handled.
 *
 * What a relay has parked is a row of the log, which stays as it was written: others have read it or will. The relay publishes the new
 * payload in its place, under the same id, so that whoever has had the old one does not take the new one for another message.
 */
import { lockParkedEnvelope, replaceParkedEnvelope } from '../../inbox/stores/parked-operations.ts';
import { unpackWire } from '../../inbox/delivery/incoming.ts';
import { encodeWire } from '../../message/envelope.ts';
import { HoldfastError } from '../../errors.ts';
import { altersNumbers } from '../../message/exact-json.ts';
import { messageId } from '../../message/id.ts';
import type { Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { toExecutor, type SqlExecutor } from '../../postgres/executor.ts';
import { lockParkedMessage, storeRevision } from '../../relay/delivery/parked-revision.ts';
import { assertReason, audited, parkedOnce, type DiscardSelection } from './interventions.ts';
import type { ParkedSummary } from './parked.ts';
import type { ParkedKind } from './parked-rows.ts';
import { revise, REVISES_HEADER, type PayloadRevision, type Revised } from './payload-revision.ts';

/** What {@link previewRevision} shows. */
export interface RevisionPreview {
  readonly kind: ParkedKind;
  /** The subscription or consumer. */
  readonly where: string;
  readonly topic: string;
  readonly key: string | null;
  /** What would be published or handled now; null also for one that is too large to be shown. */
  readonly before: unknown;
  readonly after: unknown;
  /** False: it has numbers that JavaScript alters by reading them, or is too large, so `before` is not quite what is there. */
  readonly exact: boolean;
  /** A relay was lost while it published it. Where it has arrived as it was, the new version comes too late. */
  readonly inDoubt: boolean;
}

/** What {@link reviseParked} has done. */
export interface RevisedMessage {
  readonly kind: ParkedKind;
  /** The subscription or consumer. */
  readonly where: string;
  /** Of the new version: a new one where a consumer has it parked, the same as before where a relay has. */
  readonly id: string;
  readonly replaces: string;
  readonly topic: string;
  readonly key: string | null;
  /** As {@link RevisionPreview} has it. */
  readonly inDoubt: boolean;
}

/** A parked message, locked, before and after; and how the new version is put in its place. */
interface Edit {
  readonly topic: string;
  readonly key: string | null;
  readonly inDoubt: boolean;
  readonly exact: boolean;
  readonly revised: Revised;
  /** For the audit. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly store: () => Promise<void>;
}

/** Where it is parked, and the ids of the old and the new version. */
interface EditOf {
  readonly schema: string;
  readonly where: string;
  readonly id: string;
  readonly newId: string;
  readonly revision: PayloadRevision;
}

/** Changes nothing. Rejects as reviseParked does. */
export async function previewRevision(
  database: Database,
  selection: DiscardSelection,
  revision: PayloadRevision,
): Promise<RevisionPreview> {
  const parked = await parkedOnce(database, selection);
  const { kind, where } = parked;
  return audited(database, async (client) => {
    const { schema } = database;
    const edit = await prepareEdit(toExecutor(client), parked, {
      schema,
      where,
      id: parked.id,
      newId: parked.id,
      revision,
    });
    const { topic, key, exact, inDoubt, revised } = edit;
    return { kind, where, topic, key, before: revised.before, after: revised.after, exact, inDoubt };
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
  const parked = await parkedOnce(database, selection);
  const { kind, where, id } = parked;
  const newId = kind === 'consumer' ? messageId() : id;
  return audited(database, async (client, audit) => {
    const of = { schema: database.schema, where, id, newId, revision };
    const { topic, key, inDoubt, details, store } = await prepareEdit(toExecutor(client), parked, of);
    await store();
    const { actor, reason } = act;
    await audit({ actor, reason, action: 'parked.revise', subject: `${where}/${id}`, details: { kind, ...details } });
    return { kind, where, id: newId, replaces: id, topic, key, inDoubt };
  });
}

/** Locks the row. Rejects when it is not there, or may not or cannot be edited like that. */
async function prepareEdit(execute: SqlExecutor, { kind }: ParkedSummary, of: EditOf): Promise<Edit> {
  const edit = await (kind === 'consumer' ? editOfConsumer(execute, of) : editOfRelay(execute, of));
  if (edit !== null) return edit;
  const { where, id } = of;
  const who = kind === 'consumer' ? 'Consumer' : 'The relay of';
  throw new HoldfastError('HF_NOT_FOUND', `${who} ${where} has no parked message ${id}.`, {
    advice: 'It may have gone on or been discarded meanwhile; list what is parked.',
    details: { [kind === 'consumer' ? 'consumer' : 'subscription']: where, id },
  });
}

async function editOfConsumer(
  execute: SqlExecutor,
  { schema, where, id, newId, revision }: EditOf,
): Promise<Edit | null> {
  const place = { schema, consumer: where };
  const found = await lockParkedEnvelope(execute, place, id);
  if (found === null) return null;
  const { topic, key, state } = found;
  const wire = unpackWire(found.envelope);
  const revised = revise(wire, revision, { id, newId });
  const { envelope, bytes } = revised;
  return {
    topic,
    key,
    inDoubt: false,
    exact: !altersNumbers(wire),
    revised,
    details: { newId, topic, key, state, bytes },
    store: () => replaceParkedEnvelope(execute, place, { id, newId, envelope }),
  };
}

async function editOfRelay(execute: SqlExecutor, { schema, where, id, revision }: EditOf): Promise<Edit | null> {
  const found = await lockParkedMessage(execute, { schema, subscription: where, id });
  if (found === null) return null;
  const { seq, topic, key, state, time, payload, headers, inDoubt } = found;
  if (payload === null && 'patch' in revision) {
    throw new HoldfastError('HF_CONFIG', `Message ${id} is too large to be read.`, {
      advice: 'Give the whole payload instead of a patch.',
    });
  }
  // As it would go out.
  const wire = encodeWire({ id, topic, key, time, payload: payload ?? 'null', headers });
  const revised = revise(wire, revision, { id, newId: id });
  const { bytes } = revised;
  const attributes = JSON.parse(headers) as { readonly headers?: object };
  const withHeader = { ...attributes, headers: { ...attributes.headers, [REVISES_HEADER]: id } };
  return {
    topic,
    key,
    inDoubt,
    exact: payload !== null && !altersNumbers(wire),
    revised,
    details: { seq, topic, key, state, bytes, inDoubt },
    store: () =>
      storeRevision(
        execute,
        { schema, subscription: where, seq },
        { payload: revised.payload, headers: JSON.stringify(withHeader) },
      ),
  };
}

/**
 * What a job on parked messages does in one chunk: finds the next of them behind its position, in the order of the tables' keys, and has the
 * rooms that own the tables act on these. A message that is taken up and fails again keeps its place, behind which the job is by then, and
 * what was parked after the job was started is left alone: so each is met once.
 */
import { sql } from 'kysely';
import type { ClientBase } from 'pg';
import {
  discardTheseDeliveries,
  retryTheseDeliveries,
  type ParkedPlace,
} from '../../inbox/stores/parked-operations.ts';
import { recordAudit, recordAudits } from '../../postgres/audit.ts';
import { toExecutor } from '../../postgres/executor.ts';
import { schemaHandle } from '../../postgres/schema-handle.ts';
import { discardParkedMessages, requestRetry } from '../../relay/delivery/parked-selection.ts';
import { parkedMeant, type ParkedKind } from '../parked/parked-rows.ts';
import { rows } from '../reads/reads.ts';
import type { JobAct, JobPosition, JobSummary } from './job.ts';
import type { ActedOn, JobWork, Picked } from './job-work.ts';

type ParkedAct = Extract<JobAct, { readonly kind: `parked.${string}` }>;

interface PickedMessage extends Picked {
  readonly part: ParkedKind;
  readonly where: string;
  readonly id: string;
  readonly seq: number | null;
  readonly key: string | null;
}

export function parkedWork(act: ParkedAct): JobWork<PickedMessage> {
  return {
    pick: async (client, { schema, job, position, only, limit }) => {
      const bounds = { client, schema, job, limit, only };
      if (only !== null) return nextOf(act, only[0]?.part === 'consumer' ? 'consumer' : 'relay', null, bounds);
      const consumers = position?.part === 'consumer';
      const ofRelays = consumers ? [] : await nextOf(act, 'relay', position, bounds);
      if (ofRelays.length > 0) return ofRelays;
      return nextOf(act, 'consumer', consumers ? position : null, bounds);
    },
    act: (client, schema, { job, picked }) => {
      const [first] = picked;
      if (first === undefined) return Promise.resolve({ done: 0, passedOver: [] });
      return first.part === 'relay'
        ? onRelay(client, schema, { act, job, where: first.where, picked })
        : onConsumer(client, { schema, consumer: first.where }, { act, job, picked });
    },
  };
}

interface Next {
  readonly client: ClientBase;
  readonly schema: string;
  readonly job: string;
  readonly limit: number;
  readonly only: readonly JobPosition[] | null;
}

/** The next of one kind, all of one place. */
async function nextOf(
  { select }: ParkedAct,
  kind: ParkedKind,
  after: JobPosition | null,
  { client, schema, job, limit, only }: Next,
): Promise<readonly PickedMessage[]> {
  const database = schemaHandle(client, schema);
  const place = kind === 'relay' ? 'seq' : 'id';
  let query = parkedMeant(database, select)
    .where('kind', '=', kind)
    // As the row has it: a Date would cut it to milliseconds.
    .where(sql<boolean>`parked_at <= (select created_at from ${sql.id(schema, 'operation_job')} where id = ${job})`)
    .clearSelect()
    .select(['place', 'id', 'key', 'seq'])
    .orderBy('place')
    .orderBy(place)
    .limit(limit);
  if (after !== null) {
    const at = kind === 'relay' ? sql`${after.at}::bigint` : sql`${after.at}::uuid`;
    query = query.where(sql<boolean>`(place, ${sql.ref(place)}) > (${after.where}, ${at})`);
  }
  if (only !== null) {
    const type = sql.raw(kind === 'relay' ? 'bigint' : 'uuid');
    const wanted = `{${only.map(({ at }) => at).join(',')}}`;
    query = query
      .where('place', '=', only[0]?.where ?? '')
      .where(sql<boolean>`${sql.ref(place)} = any (${wanted}::${type}[])`);
  }
  const found = await rows(database, query);
  const where = found[0]?.place;
  return found
    .filter((row) => row.place === where)
    .map((row) => {
      const seq = row.seq === null ? null : Number(row.seq);
      const position = { part: kind, where: row.place, at: kind === 'relay' ? String(seq) : row.id };
      return {
        position,
        subject: `${row.place}/${row.id}`,
        where: row.place,
        part: kind,
        id: row.id,
        seq,
        key: row.key,
      };
    });
}

interface OnMessages {
  readonly act: ParkedAct;
  readonly job: JobSummary;
  readonly picked: readonly PickedMessage[];
}

async function onRelay(
  client: ClientBase,
  schema: string,
  { act, job, where, picked }: OnMessages & { readonly where: string },
): Promise<ActedOn> {
  const execute = toExecutor(client);
  const selection = { subscription: where, seqs: picked.map(({ seq }) => seq as number) };
  if (act.kind === 'parked.retry') {
    const { ids } = await requestRetry(client, schema, selection);
    await recordAudit(execute, schema, retried(job, `${where}/*`, { kind: 'relay', messages: ids.length, ids }));
    return result(picked, new Set(ids));
  }
  const gone = await discardParkedMessages(client, schema, selection);
  const entries = gone.map(({ id, seq, topic, key, state, reason, attempts }) =>
    discarded(job, `${where}/${id}`, { kind: 'relay', seq, topic, key, state, reason, attempts }),
  );
  await recordAudits(execute, schema, entries);
  return result(picked, new Set(gone.map(({ id }) => id)));
}

async function onConsumer(client: ClientBase, place: ParkedPlace, { act, job, picked }: OnMessages): Promise<ActedOn> {
  const execute = toExecutor(client);
  const { schema, consumer } = place;
  if (act.kind === 'parked.retry') {
    const withoutPredecessor = act.withoutPredecessor === true;
    const asked = picked.map(({ id }) => id);
    const ids = await retryTheseDeliveries(execute, place, asked, { withoutPredecessor });
    const details = { kind: 'consumer', messages: ids.length, ids, withoutPredecessor };
    await recordAudit(execute, schema, retried(job, `${consumer}/*`, details));
    return result(picked, new Set(ids));
  }
  const gone = await discardTheseDeliveries(execute, place, picked);
  const entries = gone.map(({ id, ...facts }) => discarded(job, `${consumer}/${id}`, { kind: 'consumer', ...facts }));
  await recordAudits(execute, schema, entries);
  return result(picked, new Set(gone.map(({ id }) => id)));
}

function retried({ id, actor, reason }: JobSummary, subject: string, details: object) {
  return { actor, reason, action: 'parked.retry', subject, details: { job: id, ...details } };
}

function discarded({ id, actor, reason }: JobSummary, subject: string, details: object) {
  return { actor, reason, action: 'parked.discard', subject, details: { job: id, ...details } };
}

/** Pure. They were there a moment ago, in this very transaction: what is not done is in somebody else's hands just now. */
function result(picked: readonly PickedMessage[], done: ReadonlySet<string>): ActedOn {
  const left = picked.filter(({ id }) => !done.has(id));
  return {
    done: done.size,
    passedOver: left.map(({ subject }) => ({
      subject,
      code: 'HF_LOCK_WAIT',
      message: 'It is being worked on, or has just gone on.',
    })),
  };
}

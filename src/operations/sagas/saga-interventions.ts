/**
 * What people do to runs: signal, cancel, and, when a run is stuck, retry, skip and resolve. Each act is mail for the run, which
 * the next worker carries out, and commits together with its audit row or not at all.
 */
import { HoldfastError } from '../../errors.ts';
import { encodePayload } from '../../message/payload.ts';
import { validate } from '../../message/validate.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import type { Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import type { SchemaHandle } from '../../postgres/schema-handle.ts';
import { didYouMean } from '../../runtime/options.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import { WHOLE_RUN, type RunStatus, type StuckWhy } from '../../saga/journal/events.ts';
import { actOnRun } from '../../saga/store/postgres/postgres-acts.ts';
import type { RunMessageBody } from '../../saga/store/store.ts';
import { noSuchRun } from './find-run.ts';
import { assertReason } from '../parked/interventions.ts';
import { foldTimeline } from './saga-timeline.ts';
import { assertRunId, readJournal } from './sagas.ts';

/** Who acts, and why; the reason is required. */
export type ReasonedAct = Act & { readonly reason: string };

/** An act that is one of many, done by a job: the id they share stands in their audit rows. */
interface PartOfBulk {
  readonly bulk?: string | undefined;
}

/** What the run was when the act was written; a worker carries it out within a second or so. */
export interface Accepted {
  readonly id: string;
  readonly status: RunStatus;
  /** Of a cancellation: its pivot is under way, or it is a child that has done its work, so this may come too late all the same. */
  readonly undecided?: boolean;
}

/** How a call can be settled by hand. See {@link resolveCall}. */
export type Settlement = 'done' | 'not done' | 'compensated';
export const SETTLEMENTS: readonly Settlement[] = ['done', 'not done', 'compensated'];

/**
 * Has a stuck run tried again where it stopped, with all its attempts anew.
 * Rejects with HF_NOT_FOUND and HF_SAGA_NOT_STUCK.
 */
export async function retryRun(database: SchemaHandle, id: string, act: Act & PartOfBulk): Promise<Accepted> {
  const { actor, reason } = act;
  return send(
    database,
    id,
    { kind: 'retry', actor, ...(reason === undefined ? {} : { reason }) },
    { act, statuses: STUCK },
  );
}

/**
 * Has the compensation that a run is stuck at left out: what the call did stays. The reason is required.
 * `call`: null for whatever it is stuck at.
 * Rejects with HF_NOT_FOUND, with HF_SAGA_NOT_STUCK also when it is stuck elsewhere, and with HF_CONFIG without a reason.
 */
export async function skipCall(
  database: SchemaHandle,
  id: string,
  call: string | null,
  act: ReasonedAct & PartOfBulk,
): Promise<Accepted> {
  const { actor, reason } = act;
  assertReason(reason, 'Say why what it did may stay');
  const place = await stuckPlace(database, id);
  if (place !== null && !place.compensating) {
    throw notStuckThere(
      id,
      'its way forward',
      'Only a compensation can be skipped; retry or resolve it, or cancel the run.',
    );
  }
  const target = call ?? place?.call ?? WHOLE_RUN;
  if (place !== null && target !== place.call)
    throw notStuckThere(id, `compensating ${place.call}`, `Skip ${place.call} first.`);
  return send(database, id, { kind: 'skip', call: target, actor, reason }, { act, statuses: STUCK });
}

/** How {@link resolveCall} settles a call. */
export interface Resolution {
  /** Null: whatever the run is stuck at. '*': the run as a whole, which then ends as it is resolved. */
  readonly call: string | null;
  /** done, not done: of a step in doubt. compensated: by hand. */
  readonly as: Settlement;
  /** JSON value, of what is done. */
  readonly output?: unknown;
}

/**
 * Settles by hand what a run is stuck at. The reason is required.
 * Rejects with HF_NOT_FOUND, with HF_SAGA_NOT_STUCK also when it is stuck elsewhere, with HF_PAYLOAD_NOT_JSON, and with HF_CONFIG
 * without a reason and for what makes no sense there.
 */
export async function resolveCall(
  database: SchemaHandle,
  id: string,
  { call, as, output }: Resolution,
  act: ReasonedAct & PartOfBulk,
): Promise<Accepted> {
  const { actor, reason } = act;
  assertReason(reason, 'Say how you know');
  if (output !== undefined && as !== 'done') {
    throw new HoldfastError('HF_CONFIG', `What is ${as} has no output.`, { advice: 'Leave the output out.' });
  }
  const place = await stuckPlace(database, id);
  const target = call ?? place?.call ?? WHOLE_RUN;
  if (place !== null) {
    if (target !== WHOLE_RUN && target !== place.call) {
      throw notStuckThere(id, place.call ?? 'the run as a whole', `Resolve ${place.call ?? `it as '${WHOLE_RUN}'`}.`);
    }
    const legal = settlements(target === WHOLE_RUN, place);
    if (!legal.includes(as)) {
      const what = target === WHOLE_RUN ? 'The run as a whole' : target;
      throw new HoldfastError('HF_CONFIG', `${what} cannot be resolved as ${JSON.stringify(as)} there.`, {
        advice: `Give ${legal.join(' or ')}.`,
      });
    }
  }
  const body = {
    kind: 'resolve',
    call: target,
    as,
    ...(output === undefined ? {} : { output }),
    actor,
    reason,
  } as const;
  return send(database, id, body, { act, statuses: STUCK, details: { as } });
}

/** Pure: what the engine can make of a resolution (src/saga/decide/inbound.ts). */
function settlements(whole: boolean, { compensating, atCompensation, why }: StuckPlace): readonly Settlement[] {
  if (whole) return compensating ? ['compensated'] : ['done', 'compensated'];
  if (why === 'in doubt') return compensating ? ['done', 'not done', 'compensated'] : ['done', 'not done'];
  return atCompensation ? ['compensated', 'not done'] : ['done', 'not done'];
}

interface StuckPlace {
  /** Null: the run as a whole. */
  readonly call: string | null;
  readonly why: StuckWhy;
  /** The run as a whole is being compensated. */
  readonly compensating: boolean;
  /** It is stuck at a compensation: also of a run that was about to complete, and compensates what it had given up. */
  readonly atCompensation: boolean;
}

/** Null for a run that has never been stuck; whether it is now, is asked when the act is written. */
async function stuckPlace(database: SchemaHandle, id: string): Promise<StuckPlace | null> {
  const rows = await readJournal(database, id);
  if (rows.length === 0) throw noSuchRun(id);
  const { stuck, compensating } = foldTimeline({ status: 'stuck', rows, now: 0 });
  if (stuck === null) return null;
  const { call, why } = stuck;
  const atCompensation = compensating !== null || why === 'compensation' || why === 'undefined step';
  return { call, why, compensating: compensating !== null, atCompensation };
}

function notStuckThere(id: string, where: string, advice: string): HoldfastError {
  return new HoldfastError('HF_SAGA_NOT_STUCK', `Run ${id} is not stuck there, but at ${where}.`, {
    advice,
    details: { run: id },
  });
}

/**
 * Has a run compensated. One that is being compensated already is left as it is.
 * Rejects with HF_NOT_FOUND, HF_SAGA_FINISHED and HF_SAGA_PIVOTED.
 */
export async function cancelRun(database: SchemaHandle, id: string, act: Act & PartOfBulk): Promise<Accepted> {
  const { actor, reason } = act;
  const body: RunMessageBody = { kind: 'cancel', actor, ...(reason === undefined ? {} : { reason }) };
  return send(database, id, body, { act, statuses: [...FORWARD, 'compensating', 'stuck'] });
}

/** What {@link signalRun} sends. */
export interface SignalRequest {
  readonly name: string;
  /** JSON value. */
  readonly payload?: unknown;
  /** The same id is taken once. */
  readonly id?: string | undefined;
  /** Where it is known: the signal is checked against it first. */
  readonly saga?: AnySaga | undefined;
}

/**
 * Sends a signal. Without the saga's definition it goes unchecked.
 * Rejects with HF_NOT_FOUND, HF_SAGA_FINISHED, HF_SAGA_UNDONE, HF_SIGNAL_UNKNOWN, HF_PAYLOAD_INVALID and HF_PAYLOAD_NOT_JSON.
 */
export async function signalRun(
  database: Database,
  id: string,
  { name, payload, id: signalId, saga }: SignalRequest,
  act: Act,
): Promise<Accepted> {
  const checked = saga === undefined ? payload : await checkSignal(saga, name, payload);
  const body: RunMessageBody = {
    kind: 'signal',
    name,
    ...(checked === undefined ? {} : { payload: checked }),
    ...(signalId === undefined ? {} : { id: signalId }),
  };
  return send(database, id, body, { act, statuses: [...FORWARD, 'stuck'], details: { signal: name, signalId } });
}

async function checkSignal(saga: AnySaga, name: string, payload: unknown): Promise<unknown> {
  const schema = Object.hasOwn(saga.signals, name) ? saga.signals[name] : undefined;
  if (schema === undefined) {
    const names = Object.keys(saga.signals);
    const near = didYouMean(name, names);
    throw new HoldfastError(
      'HF_SIGNAL_UNKNOWN',
      `${saga.name}@${saga.version} has no signal ${JSON.stringify(name)}.`,
      {
        advice: near === undefined ? `It has: ${names.join(', ') || 'none'}.` : `Did you mean ${JSON.stringify(near)}?`,
      },
    );
  }
  const checked = validate(schema, payload, `signal ${name} of ${saga.name}`);
  return checked instanceof Promise ? checked : checked.value;
}

const STUCK: readonly RunStatus[] = ['stuck'];
const FORWARD: readonly RunStatus[] = ['pending', 'running', 'waiting'];

interface Sending {
  readonly act: Act & PartOfBulk;
  readonly statuses: readonly RunStatus[];
  readonly details?: Readonly<Record<string, unknown>>;
}

async function send(
  database: SchemaHandle,
  id: string,
  body: RunMessageBody,
  { act, statuses, details }: Sending,
): Promise<Accepted> {
  assertRunId(id);
  // Bounded, and refused where it is no JSON, before anything is written.
  encodePayload(body, { maxBytes: DEFAULT_MAX_BYTES, where: `saga.${body.kind}` });
  const { actor, reason, bulk } = act;
  const facts = { ...(bulk === undefined ? {} : { bulk }), ...('call' in body ? { call: body.call } : {}), ...details };
  const answer = await actOnRun(database, { runId: id, body, statuses, actor, reason, details: facts });
  const { status } = answer;
  if (status === null) throw noSuchRun(id);
  if (!answer.accepted) throw refusal(id, body.kind, status, answer.pivoted);
  return { id, status, ...(answer.undecided === true ? { undecided: true } : {}) };
}

function refusal(id: string, kind: RunMessageBody['kind'], status: RunStatus, pivoted: boolean): HoldfastError {
  const details = { run: id, status };
  if (status === 'completed' || status === 'compensated') {
    return new HoldfastError('HF_SAGA_FINISHED', `Run ${id} is ${status}.`, {
      advice: 'Nothing more can be done to it.',
      details,
    });
  }
  if (kind === 'cancel' && pivoted) {
    return new HoldfastError('HF_SAGA_PIVOTED', `Run ${id} has passed its pivot and only goes forward.`, {
      advice: 'What it did must be taken back by other means, such as a saga of its own.',
      details,
    });
  }
  if (kind === 'signal') {
    return new HoldfastError('HF_SAGA_UNDONE', `Run ${id} is being compensated, and takes no signals any more.`, {
      details,
    });
  }
  return new HoldfastError('HF_SAGA_NOT_STUCK', `Run ${id} is ${status}, not stuck.`, {
    advice: '`holdfast saga show` tells what it is doing; a worker goes on with it by itself.',
    details,
  });
}

/**
 * Starting a run that has ended once more, by a person: a new run of the same saga, with the same input or another one. The old run stays as it
 * ended; its key goes to the new one.
 */
import { sql } from 'kysely';
import { HoldfastError } from '../../errors.ts';
import { messageId } from '../../message/id.ts';
import { altersNumbers } from '../../message/exact-json.ts';
import { encodePayload } from '../../message/payload.ts';
import { DEFAULT_MAX_BYTES } from '../../outbox/prepare.ts';
import type { Database } from '../../postgres/database.ts';
import type { SchemaHandle } from '../../postgres/schema-handle.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';
import { encodeValidated, tooLargeForWorkers } from '../../saga/client/start-request.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import { restartEndedRun, type RestartAnswer } from '../../saga/store/postgres/postgres-acts.ts';
import { assertReason } from '../parked/interventions.ts';
import { firstRow, tables } from '../reads/reads.ts';
import { noSuchRun } from './find-run.ts';
import type { ReasonedAct } from './saga-interventions.ts';
import { listWorkers, type WorkerStatus } from './saga-status.ts';
import { assertRunId, runsByIds } from './sagas.ts';

/** How {@link restartRun} starts a run once more. */
export interface RestartOptions {
  /**
   * Version of the saga. 'newest': the newest that a live worker runs, or that `sagas` has.
   *
   * @defaultValue that of the run
   */
  readonly version?: number | 'newest' | undefined;
  /**
   * JSON value in place of the input that the run had.
   *
   * @defaultValue the same
   */
  readonly input?: unknown;
  /**
   * Where they are known: an input that is given, or that goes to another version, is checked against the saga first.
   *
   * @defaultValue unknown: nothing is checked
   */
  readonly sagas?: readonly AnySaga[] | undefined;
}

/** What {@link restartRun} has started. */
export interface RestartedRun {
  /** Of the new run. */
  readonly id: string;
  /** The run that it was started in place of. */
  readonly of: string;
  readonly saga: string;
  readonly version: number;
  /** That the old run had and the new one has; null: none. */
  readonly key: string | null;
  /** False: no live worker runs this version, so it waits for one. */
  readonly runnable: boolean;
}

/**
 * The reason is required. Rejects with HF_NOT_FOUND, HF_SAGA_NOT_ENDED, HF_SAGA_RESTARTED, HF_PAYLOAD_…, and with HF_CONFIG for a child,
 * without a reason, and for a version that nobody has.
 */
export async function restartRun(
  database: Database,
  id: string,
  options: RestartOptions,
  act: ReasonedAct,
): Promise<RestartedRun> {
  refuseUnknownOptions(options, ['version', 'input', 'sagas'], 'restartRun');
  assertRunId(id);
  assertReason(act.reason, 'Say why it is started once more');
  const [[run], workers] = await Promise.all([runsByIds(database, [id]), listWorkers(database)]);
  if (run === undefined) throw noSuchRun(id);
  const { saga } = run;
  const { sagas = [] } = options;
  const version =
    options.version === 'newest' ? newestOf(saga, sagas, workers) : assertVersion(options.version ?? run.version);
  const declared = sagas.find((each) => each.name === saga && each.version === version);
  const where = `restart of ${saga}`;
  const input = await inputOf(database, {
    id,
    options,
    where,
    declared: version === run.version ? undefined : declared,
    given: declared,
  });
  const newId = messageId();
  const answer = await restartEndedRun(database, {
    runId: id,
    newId,
    version,
    input,
    deadlineMs: declared?.deadlineMs ?? null,
    actor: act.actor,
    reason: act.reason,
    details: { otherInput: options.input !== undefined },
  });
  if (!answer.accepted) throw refusalOf(id, where, answer);
  const runnable = offersOf(workers).has(`${saga}@${version}`);
  return { id: newId, of: id, saga, version, key: answer.key ?? null, runnable };
}

interface InputQuestion {
  readonly id: string;
  readonly options: RestartOptions;
  readonly where: string;
  /** What checks the input that the run had; undefined: it was checked when the run was started. */
  readonly declared: AnySaga | undefined;
  /** What checks an input that is given; undefined: nothing. */
  readonly given: AnySaga | undefined;
}

/** As JSON text; null: the one that the run had, as it is stored. */
async function inputOf(
  database: SchemaHandle,
  { id, options: { input }, where, declared, given }: InputQuestion,
): Promise<string | null> {
  const limits = { maxBytes: DEFAULT_MAX_BYTES, where };
  if (input !== undefined) {
    return given === undefined
      ? encodePayload(input, limits)
      : ((await encodeValidated(given.input, input, limits)) ?? null);
  }
  if (declared === undefined) return null;
  const text = await storedInput(database, id);
  // What JavaScript would alter goes on as it is stored.
  if (text === null || altersNumbers(text)) return null;
  return (await encodeValidated(declared.input, JSON.parse(text) as unknown, limits)) ?? null;
}

async function storedInput(database: SchemaHandle, id: string): Promise<string | null> {
  const found = await firstRow(
    database,
    tables(database)
      .selectFrom('saga_journal')
      .where('saga_id', '=', id)
      .where('n', '=', 0)
      .select(sql<string | null>`(events -> 0 -> 'input')::text`.as('input')),
  );
  return found?.input ?? null;
}

/** 'place-order@1' of all that a live worker runs. */
function offersOf(workers: readonly WorkerStatus[]): ReadonlySet<string> {
  return new Set(workers.filter(({ live, draining }) => live && !draining).flatMap(({ sagas }) => sagas));
}

/** Throws HF_CONFIG when nobody has any. */
function newestOf(saga: string, sagas: readonly AnySaga[], workers: readonly WorkerStatus[]): number {
  const declared = sagas.filter(({ name }) => name === saga).map(({ version }) => version);
  const offered = [...offersOf(workers)].flatMap((offer) => {
    const [, name, version] = /^(.*)@(\d+)$/.exec(offer) ?? [];
    return name === saga ? [Number(version)] : [];
  });
  const newest = Math.max(...declared, ...offered);
  if (Number.isFinite(newest)) return newest;
  throw new HoldfastError('HF_CONFIG', `No live worker runs ${saga}, so its newest version is not known.`, {
    advice: 'Say which version, or start a worker first.',
  });
}

function assertVersion(version: number): number {
  if (Number.isInteger(version) && version >= 1 && version < 2 ** 31) return version;
  throw new HoldfastError('HF_CONFIG', `${String(version)} is no version of a saga.`, {
    advice: "Give a whole number from 1 on, or 'newest'.",
  });
}

/** Pure. */
function refusalOf(id: string, where: string, answer: RestartAnswer): HoldfastError {
  const { status, parent, restarted_as: other, limit, forgotten } = answer;
  const details = { run: id, status };
  if (status === null) return noSuchRun(id);
  if (typeof parent === 'string') {
    return new HoldfastError('HF_CONFIG', `Run ${id} is a child of ${parent}, which waits for no other one.`, {
      advice: 'Start the parent once more when it has ended.',
      details: { ...details, parent },
    });
  }
  if (other !== undefined) {
    return new HoldfastError('HF_SAGA_RESTARTED', `Run ${id} was started once more already, as ${other}.`, {
      advice: 'Look at that one; when it has ended, it can be started once more.',
      details: { ...details, restartedAs: other },
    });
  }
  if (limit !== undefined) return tooLargeForWorkers(where, limit);
  if (forgotten === true) {
    return new HoldfastError('HF_CONFIG', `The journal of run ${id} does not say what its input was.`, {
      advice: 'Give the input.',
      details,
    });
  }
  return new HoldfastError('HF_SAGA_NOT_ENDED', `Run ${id} is ${status}: it has not ended.`, {
    advice: 'Cancel it, and when it is compensated start it once more; one that is stuck can be retried.',
    details,
  });
}

/**
 * Moves jobs of another library, or rows of an outbox made by hand, into the outbox. A batch is one transaction: a row is gone from its
 * table, or marked, if and only if its message is written, so it can be ended and begun again at any moment.
 */
import type { PoolClient } from 'pg';
import { createPreparedWriter } from '../../outbox/outbox.ts';
import { DEFAULT_MAX_BYTES, type PreparedMessage } from '../../outbox/prepare.ts';
import { recordAudit, type Act } from '../../postgres/audit.ts';
import type { Database } from '../../postgres/database.ts';
import { toExecutor } from '../../postgres/executor.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { decideJob, type DecideOptions, type MapJob, type SourceJob } from './decide.ts';
import {
  countJobs,
  idsWritten,
  jobOf,
  lockRows,
  lookAtRows,
  takeRows,
  type ImportCount,
  type JobRow,
} from './source-rows.ts';
import type { ImportSource, SourceState } from './source.ts';

export interface ImportOptions {
  /** Topics by the name of the queue, task or event. */
  readonly topics?: ReadonlyMap<string, string> | undefined;
  /** Names without a topic in `topics` are topics themselves. Default: such jobs stay. */
  readonly sameNames?: boolean | undefined;
  /** Says the topic, and more, of each job; instead of `topics` and `sameNames`. */
  readonly map?: MapJob | undefined;
  /** Also those that the library has given up. Default: they stay. */
  readonly failed?: boolean | undefined;
  /** Jobs per transaction, 1 to 5000. Default: 200. */
  readonly batch?: number | undefined;
  /** No more than so many. Default: all. */
  readonly limit?: number | undefined;
}

/** Jobs that stay, by what they are called and why. */
export interface LeftJobs {
  readonly name: string;
  readonly why: string;
  readonly count: number;
  /** What one of them is known by. */
  readonly example: string;
}

export interface ImportExample {
  readonly ref: string;
  readonly name: string;
  readonly topic: string;
  readonly key: string | null;
  /** Not before this time. */
  readonly due: Date | null;
}

/** What {@link planImport} has found. */
export interface ImportPlan {
  readonly source: string;
  readonly counts: readonly ImportCount[];
  /** How many of those that would be moved were looked at one by one. */
  readonly looked: number;
  /** One of each name. */
  readonly examples: readonly ImportExample[];
  /** Of those that were looked at. */
  readonly left: readonly LeftJobs[];
}

/** What {@link importJobs} has done. */
export interface ImportReport {
  readonly source: string;
  readonly moved: number;
  readonly left: readonly LeftJobs[];
  /** What is in the source now. */
  readonly counts: readonly ImportCount[];
}

/** How many jobs a plan looks at one by one. */
const LOOK_AT = 1000;
/** A row of the report each; further reasons are counted in the last. */
const MOST_REASONS = 100;

/** Counts, and looks at the first thousand; changes nothing. Rejects with HF_CONFIG and HF_OPTION_UNKNOWN on bad options. */
export async function planImport(
  database: Database,
  source: ImportSource,
  options: ImportOptions,
): Promise<ImportPlan> {
  const settings = checked(options);
  const counts = await countJobs(database, source);
  const rows = await lookAtRows(database, source, {
    states: settings.states,
    maxBytes: settings.decide.maxBytes,
    most: Math.min(LOOK_AT, settings.limit),
  });
  const examples = new Map<string, ImportExample>();
  const left = new Reasons();
  for (const job of rows.map(jobOf)) {
    // One after the other: a user's function may be asynchronous, and a thousand of them at once are not what it was made for.
    // oxlint-disable-next-line no-await-in-loop
    const decision = await decideJob(source, job, settings.decide);
    if (decision.kind === 'leave') left.add(job, decision.why);
    else if (!examples.has(job.name)) examples.set(job.name, exampleOf(job, decision.message));
  }
  return { source: source.label, counts, looked: rows.length, examples: [...examples.values()], left: left.list() };
}

/**
 * Moves what can be moved, batch by batch, each with a row in the audit. What is wrong with a job is why it stays; it holds up no other.
 * Rows that somebody else has locked are passed by. Rejects as planImport does, and with what the database refuses: what was moved before
 * is moved, and the next import goes on from there.
 */
export async function importJobs(
  database: Database,
  source: ImportSource,
  options: ImportOptions,
  act: Act,
): Promise<ImportReport> {
  const settings = checked(options);
  const write = createPreparedWriter(database.schema);
  const left = new Reasons();
  let moved = 0;
  let behind: readonly string[] | null = null;
  while (moved < settings.limit) {
    const most = Math.min(settings.batch, settings.limit - moved);
    const from: readonly string[] | null = behind;
    // oxlint-disable-next-line no-await-in-loop -- the next batch begins behind this one
    const batch = await database.transaction(async (tx) => {
      const rows = await lockRows(tx, source, {
        states: settings.states,
        maxBytes: settings.decide.maxBytes,
        behind: from,
        most,
      });
      const decided = await decideAll(tx, source, { rows, settings, schema: database.schema });
      const taken = decided.moves;
      if (taken.length > 0) {
        await takeRows(
          tx,
          source,
          taken.map(({ row }) => row),
        );
        await write(
          tx,
          taken.map(({ message }) => message),
        );
        await recordAudit(toExecutor(tx), database.schema, {
          actor: act.actor,
          action: `import.${source.kind}`,
          subject: source.label,
          reason: act.reason,
          details: { moved: taken.length, first: taken[0]?.job.ref, last: taken.at(-1)?.job.ref },
        });
      }
      return { last: rows.at(-1)?.place ?? null, ...decided };
    });
    for (const { job, why } of batch.leaves) left.add(job, why);
    moved += batch.moves.length;
    if (batch.last === null) break;
    behind = batch.last;
  }
  return { source: source.label, moved, left: left.list(), counts: await countJobs(database, source) };
}

interface Settings {
  readonly states: readonly SourceState[];
  readonly batch: number;
  readonly limit: number;
  readonly decide: DecideOptions;
}

function checked(options: ImportOptions): Settings {
  refuseUnknownOptions(options, ['topics', 'sameNames', 'map', 'failed', 'batch', 'limit'], 'import');
  const { topics = new Map(), sameNames = false, map, failed = false, batch = 200, limit = Infinity } = options;
  if (!Number.isInteger(batch) || batch < 1 || batch > 5000)
    throw badOption('import:', `batch is ${batch}`, 'Give a whole number from 1 to 5000.');
  if (limit !== Infinity && (!Number.isInteger(limit) || limit < 1))
    throw badOption('import:', `limit is ${limit}`, 'Give a whole number from 1 on, or leave it out.');
  if (map !== undefined && (topics.size > 0 || sameNames))
    throw badOption('import:', 'has both a function and topics', 'Have the function say all topics.');
  return {
    states: failed ? ['waiting', 'failed'] : ['waiting'],
    batch,
    limit,
    decide: { topics, sameNames, map, maxBytes: DEFAULT_MAX_BYTES },
  };
}

interface Move {
  readonly job: SourceJob;
  readonly row: JobRow;
  readonly message: PreparedMessage;
}

interface Decided {
  readonly moves: readonly Move[];
  readonly leaves: readonly { readonly job: SourceJob; readonly why: string }[];
}

async function decideAll(
  tx: PoolClient,
  source: ImportSource,
  { rows, settings, schema }: { rows: readonly JobRow[]; settings: Settings; schema: string },
): Promise<Decided> {
  const moves: Move[] = [];
  const leaves: { job: SourceJob; why: string }[] = [];
  for (const row of rows) {
    const job = jobOf(row);
    // oxlint-disable-next-line no-await-in-loop -- in their order, for a function of the user's that may be asynchronous
    const decision = await decideJob(source, job, settings.decide);
    if (decision.kind === 'leave') leaves.push({ job, why: decision.why });
    else moves.push({ job, row, message: decision.message });
  }
  const written = await idsWritten(
    tx,
    schema,
    moves.map(({ message }) => message.id),
  );
  for (const { job } of moves.filter(({ message }) => written.has(message.id))) {
    leaves.push({ job, why: 'it was imported before, and its message is still in the outbox' });
  }
  return { moves: moves.filter(({ message }) => !written.has(message.id)), leaves };
}

function exampleOf({ ref, name, dueMs }: SourceJob, { topic, key }: PreparedMessage): ImportExample {
  return { ref, name, topic, key, due: typeof dueMs === 'number' ? new Date(dueMs) : null };
}

/** Bounded, whatever the errors say. */
class Reasons {
  readonly #found = new Map<string, LeftJobs>();

  add({ name, ref }: SourceJob, why: string): void {
    const own = JSON.stringify([name, why]);
    const isFull = this.#found.size >= MOST_REASONS && !this.#found.has(own);
    const [key, fields] = isFull ? ['', { name: '…', why: 'for other reasons' }] : [own, { name, why }];
    const before = this.#found.get(key);
    this.#found.set(
      key,
      before === undefined ? { ...fields, count: 1, example: ref } : { ...before, count: before.count + 1 },
    );
  }

  list(): readonly LeftJobs[] {
    return [...this.#found.values()].toSorted((a, b) => b.count - a.count);
  }
}

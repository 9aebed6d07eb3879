/**
 * The only place that changes what the in-memory store keeps. All writes since `begin` can be reverted.
 */
import { HoldfastError } from '../../errors.ts';
import type { JournalEvent, RunStatus } from '../../saga/journal/events.ts';
import { recordTrace } from '../../saga/journal/run-trace.ts';
import type { NewRun, RunCommit, RunMessageBody, RunUpdate, StartRequest } from '../../saga/store/store.ts';
import { isFinished, type MemoryMessage, type StoredRun, type StoredWorker } from './memory-rows.ts';

/** A run message; the body is JSON text. */
export interface Letter {
  readonly at: number;
  readonly body: string;
}

/** A row of a journal; the events are JSON text. */
export interface StoredRow {
  readonly at: number;
  readonly events: string;
}

export interface MemoryMaps {
  readonly runs: Map<string, StoredRun>;
  readonly workers: Map<string, StoredWorker>;
  /** Ids of runs, by saga and key. */
  readonly keys: Map<string, string>;
  readonly journals: Map<string, Map<number, StoredRow>>;
  readonly runMessages: Map<string, Map<number, Letter>>;
}

export class MemoryWrites {
  readonly #maps: MemoryMaps;
  /** Ids of messages of the outbox. */
  readonly #sent = new Map<string, true>();
  #runMessageSerial = 0;
  #reverts: (() => void)[] = [];

  constructor(maps: MemoryMaps) {
    this.#maps = maps;
  }

  begin(): void {
    this.#reverts = [];
  }

  revert(): void {
    for (const revert of this.#reverts.toReversed()) revert();
  }

  worker(worker: StoredWorker): void {
    this.#put(this.#maps.workers, worker.id, worker);
  }

  forgetWorker(id: string): void {
    this.#put(this.#maps.workers, id, undefined);
  }

  run(run: StoredRun): void {
    this.#put(this.#maps.runs, run.id, run);
  }

  start(request: StartRequest, at: number): void {
    const deadlineAt = request.deadlineMs === null ? null : at + request.deadlineMs;
    this.#insert({
      ...newRun({ ...request, held: false, status: 'pending', deadlineAt, parent: null }, '', at),
      key: request.key,
    });
    const input: unknown = JSON.parse(request.input);
    const started: JournalEvent = {
      t: 'started',
      input,
      ...(deadlineAt === null ? {} : { deadlineAt: Math.floor(deadlineAt) }),
      ...(request.trace === undefined ? {} : { trace: recordTrace(request.trace) }),
    };
    this.#journal(request.id, 0, at, JSON.stringify([started]));
  }

  postRunMessage(runId: string, body: RunMessageBody, at: number): void {
    // What is for no run is dropped.
    if (!this.#maps.runs.has(runId)) return;
    const box = this.#maps.runMessages.get(runId) ?? new Map<number, Letter>();
    this.#put(this.#maps.runMessages, runId, box);
    this.#put(box, (this.#runMessageSerial += 1), { at: Math.floor(at), body: storedJson(JSON.stringify(body)) });
  }

  /** What some runs put into one commit of the worker. Returns their messages. */
  commit(worker: string, commits: readonly RunCommit[], at: number): readonly MemoryMessage[] {
    for (const { start, children, journal: row } of commits) {
      if (start !== null) this.#insert(newRun(start, worker, at));
      for (const child of children) {
        this.#insert(newRun(child, worker, at));
        this.#journal(child.id, 0, row?.at ?? at, child.journal);
      }
    }
    for (const { runId, journal, update, runMessagesDone } of commits) {
      if (journal !== null) this.#journal(runId, journal.n, journal.at, journal.events);
      if (update !== null) this.#update(worker, runId, update, at);
      for (const id of runMessagesDone) this.#takeIn(Number(id));
    }
    for (const { runId, body } of commits.flatMap((commit) => commit.runMessages)) this.postRunMessage(runId, body, at);
    return commits.flatMap((commit) => commit.messages).map((text) => this.#send(text));
  }

  #put<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
    const before = map.get(key);
    this.#reverts.push(() => void (before === undefined ? map.delete(key) : map.set(key, before)));
    if (value === undefined) map.delete(key);
    else map.set(key, value);
  }

  #insert(run: StoredRun): void {
    if (this.#maps.runs.has(run.id)) throw new Error(`There is a run ${run.id} already.`);
    this.#put(this.#maps.runs, run.id, run);
    if (run.key !== null) this.#put(this.#maps.keys, keyOf(run.saga, run.key), run.id);
  }

  #journal(runId: string, n: number, at: number, events: string): void {
    const rows = this.#maps.journals.get(runId) ?? new Map<number, StoredRow>();
    if (rows.has(n)) throw new Error(`The journal of run ${runId} has a row ${n} already.`);
    this.#put(this.#maps.journals, runId, rows);
    this.#put(rows, n, { at, events: storedJson(events) });
  }

  #update(worker: string, runId: string, changed: RunUpdate, at: number): void {
    const run = this.#maps.runs.get(runId);
    if (run === undefined || run.worker !== worker)
      throw new HoldfastError('HF_LEASE_LOST', `The worker does not hold run ${runId}, which it wants to change.`);
    const { status, reason, pivoted, release, result, error, folded = [], growth, signals, refused } = changed;
    const rows = this.#maps.journals.get(runId);
    if (rows !== undefined) for (const n of folded) this.#put(rows, n, undefined);
    if (isFinished(run.status) && status !== run.status)
      throw new HoldfastError('HF_SAGA_FINISHED', `Run ${runId} is ${run.status} and cannot become ${status}.`);
    this.#put(this.#maps.runs, runId, {
      ...run,
      status,
      reason,
      pivoted,
      // A run that ends is released in any case.
      worker: release === null && !isFinished(status) ? run.worker : null,
      wakeAt: release === null ? null : release.wakeAt,
      result: result === null ? run.result : storedJson(result),
      error: error !== null ? storedJson(error) : goesForward(status) ? null : run.error,
      finishedAt: isFinished(status) ? (run.finishedAt ?? at) : null,
      growth: growth ?? run.growth,
      signals: signals ?? run.signals,
      refused: refused ?? run.refused,
    });
  }

  #takeIn(id: number): void {
    for (const [owner, box] of this.#maps.runMessages) {
      if (!box.has(id)) continue;
      this.#put(box, id, undefined);
      if (box.size === 0) this.#put(this.#maps.runMessages, owner, undefined);
    }
  }

  #send(text: string): MemoryMessage {
    const { id, topic, key, payload, headers } = JSON.parse(text) as MemoryMessage;
    if (this.#sent.has(id))
      throw new HoldfastError('HF_MESSAGE_DUPLICATE', `A message with the id ${id} is in the outbox already.`);
    this.#put(this.#sent, id, true);
    return { id, topic, key, payload, headers };
  }
}

function goesForward(status: RunStatus): boolean {
  return status !== 'compensating' && status !== 'compensated' && status !== 'stuck';
}

function newRun(run: NewRun, worker: string, at: number): StoredRun {
  const { id, saga, version, status, deadlineAt, parent, held } = run;
  const fresh = {
    key: null,
    reason: null,
    pivoted: false,
    lost: 0,
    result: null,
    error: null,
    finishedAt: isFinished(run.status) ? at : null,
    growth: 0,
    signals: { count: 0, bytes: 0 },
    refused: [],
  };
  return {
    ...fresh,
    ...(held ? { worker, claims: 1, wakeAt: null } : { worker: null, claims: 0, wakeAt: at }),
    id,
    saga,
    version,
    status,
    deadlineAt,
    parent: parent === null ? null : { ...parent },
    startedAt: at,
  };
}

export function keyOf(saga: string, key: string): string {
  return `${saga}\n${key}`;
}

/** Refuses what is no JSON, as the database would. */
function storedJson(text: string): string {
  JSON.parse(text);
  return text;
}

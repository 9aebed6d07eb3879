/**
 * Runs as PostgreSQL takes and gives them (migrations/0003_saga.sql): commits put into the parameters of commit_runs, rows read as
 * runs. Pure.
 */
import { float8Array, int4Array, jsonArray, uuidArray } from '../../../postgres/binary-array.ts';
import type { JournalRow, RunStatus, CompensationReason } from '../../journal/events.ts';
import type { ClaimedRun, RunMessage, RunMessageBody, NewRun, RunCommit, RunUpdate } from '../store.ts';

/**
 * The parameters of commit_runs behind the worker. JSON texts are joined, not serialised again. The journal, which is most of it, goes
 * as binary arrays: as one JSON text it was parsed twice on its way into the rows, which took the server a sixth of its time.
 */
export type CommitParameters = readonly [
  starts: string | null,
  journalIds: Buffer | null,
  journalNs: Buffer | null,
  journalAts: Buffer | null,
  journalEvents: Buffer | null,
  updates: string | null,
  updated: number | null,
  runMessagesDone: string | null,
  mail: string | null,
  messages: string | null,
  wake: boolean,
];

/** `unchecked`: without counting the updated rows. */
export function commitParameters(runs: readonly RunCommit[], unchecked = false): CommitParameters {
  let starts = '';
  const ids: string[] = [];
  const ns: number[] = [];
  const ats: (number | null)[] = [];
  const events: string[] = [];
  let updates = '';
  let updated = 0;
  let runMessagesDone = '';
  let mail = '';
  let messages = '';
  let wake = false;
  const addRow = (id: string, n: number, at: number | null, text: string): void => {
    ids.push(id);
    ns.push(n);
    ats.push(at);
    events.push(text);
  };
  for (const run of runs) {
    if (run.start !== null) {
      starts += `,${startText(run.start)}`;
      wake ||= !run.start.held;
    }
    for (const child of run.children) {
      starts += `,${startText(child)}`;
      addRow(child.id, 0, run.journal?.at ?? null, child.journal);
      wake ||= !child.held;
    }
    if (run.journal !== null) addRow(run.runId, run.journal.n, run.journal.at, run.journal.events);
    if (run.update !== null) {
      updates += `,${updateText(run.runId, run.update)}`;
      updated += 1;
    }
    for (const id of run.runMessagesDone) runMessagesDone += `,${id}`;
    for (const each of run.runMessages) {
      mail += `,{"id":"${each.runId}","body":${JSON.stringify(each.body)}}`;
      wake = true;
    }
    for (const message of run.messages) messages += `,${message}`;
  }
  const none = ids.length === 0;
  return [
    arrayText(starts),
    none ? null : uuidArray(ids),
    none ? null : int4Array(ns),
    none ? null : float8Array(ats),
    none ? null : jsonArray(events),
    arrayText(updates),
    unchecked ? null : updated,
    runMessagesDone === '' ? null : `{${runMessagesDone.slice(1)}}`,
    arrayText(mail),
    arrayText(messages),
    wake,
  ];
}

/** Every element begins with a comma. */
function arrayText(elements: string): string | null {
  return elements === '' ? null : `[${elements.slice(1)}]`;
}

function startText({ id, saga, version, held, status, deadlineAt, parent }: NewRun): string {
  const deadline = deadlineAt === null ? '' : `,"deadline_at":${deadlineAt}`;
  const origin = parent === null ? '' : `,"parent":"${parent.id}","parent_call":${JSON.stringify(parent.call)}`;
  return `{"id":"${id}","saga":"${saga}","version":${version},"held":${held},"status":"${status}"${deadline}${origin}}`;
}

/** What is null or false is left out: the server reads it as null. */
function updateText(id: string, update: RunUpdate): string {
  const { status, reason, pivoted, release, result, error, growth, signals, folded, mismatch, refused } = update;
  let text = `{"id":"${id}","status":"${status}"`;
  if (reason !== null) text += `,"reason":"${reason}"`;
  if (pivoted) text += ',"pivoted":true';
  if (update.guarded === true) text += ',"guarded":true';
  if (release !== null) text += `,"release":true,"wake_at":${release.wakeAt}`;
  if (result !== null) text += `,"result":${result}`;
  if (error !== null) text += `,"error":${error}`;
  if (growth !== undefined) text += `,"growth":${growth}`;
  if (signals !== undefined) text += `,"signals":${signals.count},"signal_bytes":${signals.bytes}`;
  if (mismatch !== undefined) text += `,"misfit":"${mismatch}"`;
  if (refused !== undefined) text += `,"refused":${JSON.stringify(refused)}`;
  if (folded !== undefined) text += `,"folded":[${folded.join(',')}]`;
  return `${text}}`;
}

/** A row of claim_runs. */
export interface ClaimedRow {
  readonly id: string;
  readonly saga: string;
  readonly version: number;
  readonly status: RunStatus;
  readonly reason: CompensationReason | null;
  readonly pivoted: boolean;
  readonly claims: number;
  readonly lost: number;
  readonly deadline_at: number | null;
  readonly parent: string | null;
  readonly parent_call: string | null;
  readonly journal: readonly JournalRow[] | null;
  readonly mail:
    | readonly { readonly id: string; readonly at: number; readonly body: RunMessageBody; readonly bytes?: number }[]
    | null;
}

export function claimedRun(row: ClaimedRow): ClaimedRun {
  const { id, saga, version, status, reason, pivoted, claims, lost, journal, mail } = row;
  return {
    id,
    saga,
    version,
    status,
    reason,
    pivoted,
    claims,
    lost,
    deadlineAt: row.deadline_at,
    parent: row.parent === null || row.parent_call === null ? null : { id: row.parent, call: row.parent_call },
    journal: journal ?? [],
    runMessages: (mail ?? []).map((each): RunMessage => ({ ...each, runId: id })),
  };
}

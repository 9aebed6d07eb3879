/**
 * What is to be told of what is wrong now, given what has been told before. Pure.
 *
 * An alert begins as pending. When it has been so for as long as its kind asks for, it fires, and that is told. While it fires it is told
 * again when there are more of what waits for a person, and after the repeat interval. When it has not been seen for a while it is
 * resolved, and that is told. Two tellings that one alert fires are never closer than the quiet time, whatever it does in between.
 */
import { ALERT_KINDS, type AlertKind, type Condition } from './alert.ts';

/** What is kept of one alert. Times in milliseconds since the epoch, all on one clock. */
export interface AlertRecord extends Condition {
  readonly state: 'pending' | 'firing' | 'resolved';
  readonly sinceMs: number;
  /** When it was last so. */
  readonly seenMs: number;
  /** When it was last told that it fires; null: never. */
  readonly toldMs: number | null;
  /** How many there were of them then, or fewer if there were fewer since. */
  readonly toldCount: number;
}

export interface AlertPolicy {
  readonly quietMs: number;
  readonly repeatMs: number;
  /** How long it must not have been seen before it is resolved. */
  readonly clearMs: number;
  readonly forMs: (kind: AlertKind) => number;
}

export interface Telling {
  readonly record: AlertRecord;
  readonly status: 'firing' | 'resolved';
  readonly again: boolean;
}

export interface AlertDecision {
  /** To be kept from now on. */
  readonly keep: readonly AlertRecord[];
  /** To be forgotten. */
  readonly forget: readonly Pick<AlertRecord, 'kind' | 'subject'>[];
  readonly tell: readonly Telling[];
}

/**
 * Both about the same kinds: what is not among `conditions` is taken not to be so. Deciding again at the same time with what is kept tells
 * nothing more.
 */
export function decideAlerts(
  before: readonly AlertRecord[],
  conditions: readonly Condition[],
  nowMs: number,
  policy: AlertPolicy,
): AlertDecision {
  const seen = new Map(conditions.map((each) => [keyOf(each), each]));
  const known = new Map(before.map((each) => [keyOf(each), notAfter(each, nowMs)]));
  const keep: AlertRecord[] = [];
  const forget: AlertRecord[] = [];
  const tell: Telling[] = [];
  for (const key of new Set([...known.keys(), ...seen.keys()])) {
    const condition = seen.get(key);
    const record = known.get(key);
    const step = condition === undefined ? unseen(record, nowMs, policy) : met(record, condition, nowMs, policy);
    if (step.after !== null) keep.push(step.after);
    else if (record !== undefined) forget.push(record);
    if (step.tell !== undefined) tell.push(step.tell);
  }
  return { keep, forget, tell };
}

interface Step {
  readonly after: AlertRecord | null;
  readonly tell?: Telling;
}

function met(before: AlertRecord | undefined, condition: Condition, nowMs: number, policy: AlertPolicy): Step {
  const last: Pick<AlertRecord, 'state' | 'sinceMs' | 'toldMs' | 'toldCount'> =
    before === undefined || before.state === 'resolved'
      ? { state: 'pending', sinceMs: nowMs, toldMs: before?.toldMs ?? null, toldCount: 0 }
      : before;
  const { state, sinceMs, toldMs } = last;
  const toldCount = Math.min(last.toldCount, condition.count);
  const record = { ...condition, state, sinceMs, toldMs, toldCount, seenMs: nowMs };
  if (toldMs !== null && nowMs - toldMs < policy.quietMs) return { after: record };
  const due =
    state === 'pending'
      ? nowMs - sinceMs >= policy.forMs(condition.kind)
      : (ALERT_KINDS[condition.kind].grows && condition.count > toldCount) ||
        toldMs === null ||
        nowMs - toldMs >= policy.repeatMs;
  if (!due) return { after: record };
  const told: AlertRecord = { ...record, state: 'firing', toldMs: nowMs, toldCount: condition.count };
  return { after: told, tell: { record: told, status: 'firing', again: state === 'firing' } };
}

function unseen(before: AlertRecord | undefined, nowMs: number, { quietMs, clearMs }: AlertPolicy): Step {
  if (before === undefined) return { after: null };
  if (before.state === 'firing') {
    if (nowMs - before.seenMs < clearMs) return { after: before };
    const resolved: AlertRecord = { ...before, state: 'resolved' };
    return { after: resolved, tell: { record: resolved, status: 'resolved', again: false } };
  }
  // What was told is remembered for as long as it is to be quiet, also when it comes and goes meanwhile.
  const quiet = before.toldMs !== null && nowMs - before.toldMs < quietMs;
  return { after: quiet ? { ...before, state: 'resolved' } : null };
}

/** After a failover the clock may be behind what it said before; waiting until it is there again would be silence for that long. */
function notAfter(record: AlertRecord, nowMs: number): AlertRecord {
  return {
    ...record,
    sinceMs: Math.min(record.sinceMs, nowMs),
    seenMs: Math.min(record.seenMs, nowMs),
    toldMs: record.toldMs === null ? null : Math.min(record.toldMs, nowMs),
  };
}

function keyOf({ kind, subject }: Pick<Condition, 'kind' | 'subject'>): string {
  return `${kind}\n${subject}`;
}

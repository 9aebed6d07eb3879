/**
 * What becomes of messages that a transport refuses: sent again at once, tried again in place, or parked, and until when. Pure.
 */
import { defectOf } from '../../runtime/defect.ts';
import { describeError } from '../../runtime/describe-error.ts';
import { decideRetry, type RetryPolicy } from '../../runtime/retry.ts';
import type { OutboundMessage, PublishOutcome } from '../../transport/port.ts';
import type { LogEntry } from '../log/log-reader.ts';
import type { ParkedRecord } from './parking-store.ts';

export type Refusal = Extract<PublishOutcome, { kind: 'refused' }>;

/** An entry of the log, and why it did not go out. */
export type RefusedEntry = readonly [LogEntry, Refusal];

/** There was no time for it, or an earlier one of its key was refused: nothing is known against it. */
export function isUnsent({ later }: Refusal): boolean {
  return later !== undefined && !later.attempted && later.delayMs <= 0;
}

/**
 * The places in `batch` of what is to be sent once more before anybody judges: the unsent, unless one of their key was refused and keeps
 * its successors back.
 */
export function unsentOf(
  batch: readonly OutboundMessage[],
  outcomes: readonly PublishOutcome[],
  keepsOrder: boolean,
): readonly number[] {
  const refusedKeys = new Set<string | null>();
  const unsent: number[] = [];
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.kind !== 'refused') continue;
    if (isUnsent(outcome)) unsent.push(index);
    else refusedKeys.add((batch[index] as OutboundMessage).key);
  }
  if (!keepsOrder || refusedKeys.size === 0) return unsent;
  return unsent.filter((index) => {
    const { key } = batch[index] as OutboundMessage;
    return key === null || !refusedKeys.has(key);
  });
}

/** Of two refusals of one message, by two destinations, the one that says for longer that it cannot go out. */
export function graver(one: Refusal | undefined, other: Refusal): Refusal {
  return one === undefined || weightOf(other) > weightOf(one) ? other : one;
}

function weightOf(refusal: Refusal): number {
  if (refusal.permanent) return 3;
  if (refusal.later === undefined) return 1;
  return isUnsent(refusal) ? 0 : 2;
}

/**
 * Which refused messages are tried again in place. Not those that cannot help or would hold up the others, nor, where order is kept, what
 * comes after one of them in its key.
 *
 * @param refused in the order of the log
 */
export function sortRefused(
  refused: readonly RefusedEntry[],
  keepsOrder: boolean,
): { readonly given: readonly RefusedEntry[]; readonly pending: readonly RefusedEntry[] } {
  const given: RefusedEntry[] = [];
  const pending: RefusedEntry[] = [];
  const stuck = new Set<string>();
  for (const [entry, refusal] of refused) {
    const { key } = entry;
    const waits = refusal.permanent || (refusal.later !== undefined && !isUnsent(refusal));
    if (!waits && !(keepsOrder && key !== null && stuck.has(key) && isUnsent(refusal))) {
      pending.push([entry, refusal]);
      continue;
    }
    given.push([entry, refusal]);
    if (key !== null) stuck.add(key);
  }
  return { given, pending };
}

/**
 * What has failed itself, and what was only not sent because an earlier one of its key had failed.
 *
 * @param refused in the order of the log
 */
export function splitBehind(
  refused: readonly RefusedEntry[],
  keepsOrder: boolean,
): { readonly failed: readonly RefusedEntry[]; readonly waiting: readonly LogEntry[] } {
  const failed: RefusedEntry[] = [];
  const waiting: LogEntry[] = [];
  const stuck = new Set<string>();
  for (const [entry, refusal] of refused) {
    const { key } = entry;
    if (keepsOrder && key !== null && refusal.later?.attempted === false && stuck.has(key)) waiting.push(entry);
    else failed.push([entry, refusal]);
    if (key !== null) stuck.add(key);
  }
  return { failed, waiting };
}

/**
 * How a refused message is parked, and when it is tried again by itself.
 *
 * @param facts.attempts before this one; `parkedForMs` counts from its first parking
 */
export function failedRecord(
  parkedRetry: RetryPolicy,
  seq: number,
  refusal: Refusal,
  facts: { readonly attempts: number; readonly parkedForMs: number; readonly random: () => number },
): ParkedRecord {
  const { permanent, error, later } = refusal;
  const attempts = facts.attempts + (later?.attempted === false ? 0 : 1);
  const decision = decideRetry(parkedRetry, {
    attempt: attempts,
    elapsedMs: facts.parkedForMs,
    permanent,
    random: facts.random,
  });
  return {
    seq,
    state: 'failed',
    reason: reasonOf(refusal),
    error: describeError(error),
    attempts,
    retryInMs: decision.kind === 'retry' ? waitOf(decision.delayMs, refusal) : null,
  };
}

function waitOf(backoffMs: number, { later }: Refusal): number {
  if (later === undefined) return backoffMs;
  return later.attempted ? Math.max(backoffMs, later.delayMs) : later.delayMs;
}

function reasonOf({ permanent, error, later }: Refusal): string {
  if (defectOf(error.cause) !== null) return 'the code of the transport fails on it';
  if (permanent) return 'the broker refuses it for good';
  return later === undefined ? 'the broker refuses it for now' : 'where it goes does not take it now';
}

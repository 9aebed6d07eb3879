/**
 * Takes up parked messages when they are due and runs their handlers again. A redrive is counted in a commit of its own before it is
 * made, so a message that kills the process is not tried for ever. Used by consumer.ts as the tick of a loop.
 */
import { describeError } from '../../runtime/describe-error.ts';
import { attemptOnce } from './attempt.ts';
import { decideAfterRedrive, PARK_REASONS, type Outcome } from '../handlers/decide.ts';
import { noHandler } from '../handlers/handler.ts';
import { readIncoming, unpackWire } from './incoming.ts';
import type { ParkedRow } from '../stores/parked-delivery-store.ts';
import { policiesFor, topicLabel, type Room } from './room.ts';

export interface Redriver {
  /** Runs what is due until nothing is, or `signal` aborts. Resolves with how many messages were run. */
  redriveDue(signal: AbortSignal): Promise<number>;
}

/** Taken up together and run at the same time; few, because new messages come first. */
const BATCH = 4;
/** On top of the handlers' own time: a claim older than that belongs to a dead process. */
const CLAIM_MARGIN_MS = 60_000;

/** Counting what is parked reads all of it, so it is done at most this share of the time: a hundredth. */
const REST_PER_COUNT = 99;

export function createRedriver<Tx>(room: Room<Tx>, since: () => Promise<number>): Redriver {
  let countAgainMs = -Infinity;
  const topics = [...room.handlers.keys()];

  async function claimDue(): Promise<readonly ParkedRow[]> {
    room.crash('parked.claim:before');
    const rows = await room.work.transaction(async (execute) => {
      const due = await room.parked.lockDue(execute, { limit: BATCH, ordered: room.ordered, topics });
      for (const row of due) {
        const last = row.redrives + 1 >= room.parkedRetry.attempts;
        await room.parked.claim(execute, row.messageId, last ? null : room.longestTimeoutMs + CLAIM_MARGIN_MS);
      }
      return due;
    });
    room.crash('parked.claim:after');
    return rows;
  }

  async function run(row: ParkedRow, signal: AbortSignal): Promise<void> {
    const incoming = readIncoming(unpackWire(row.envelope));
    const handler = room.handlers.get(incoming.topic);
    let outcome: Outcome;
    if (incoming.envelope === null) outcome = { kind: 'failed', error: incoming.error };
    else if (handler === undefined) outcome = { kind: 'unhandled' };
    else {
      const sinceMs = room.ordered && incoming.envelope.predecessor !== null ? await since() : 0;
      outcome = await attemptOnce(room, {
        incoming: { ...incoming, envelope: incoming.envelope },
        handler,
        attempt: row.attempts + 1,
        signal,
        parked: true,
        sinceMs,
      });
    }
    room.counts.redrives.inc({ consumer: room.name, topic: topicLabel(room, incoming.topic), outcome: outcome.kind });
    const after = decideAfterRedrive(outcome, row.redrives + 1, policiesFor(room, handler));
    const fields = { id: row.messageId, topic: incoming.topic, key: row.key, redrive: row.redrives + 1 };
    if (after.do === 'nothing') {
      if (outcome.kind !== 'gone')
        room.log.info(
          fields,
          outcome.kind === 'lost' ? 'parked at-most-once message failed and is lost' : 'parked message handled',
        );
      return;
    }
    if (after.do === 'hand on') {
      const error = noHandler(room.name, incoming.topic);
      room.log.warn(
        { ...fields, err: error },
        'no handler for a parked message here: it waits for a process that has one',
      );
      await room.work.transaction((execute) => room.parked.handOn(execute, row.messageId, error.message));
      return;
    }
    if (after.do === 'keep')
      room.log.error(
        { ...fields, err: after.error, reason: after.reason, retryInMs: after.retryInMs },
        'parked message failed again',
      );
    room.crash('parked.keep:before');
    await room.work.transaction((execute) =>
      after.do === 'postpone'
        ? room.parked.postpone(execute, row.messageId, after.delayMs)
        : room.parked.keep(execute, row.messageId, {
            state: 'failed',
            // Undecodable messages keep saying so; only what the handler did is news.
            reason:
              incoming.envelope === null
                ? PARK_REASONS.undecodable
                : row.reason === PARK_REASONS.released
                  ? // What a person allowed holds for the next attempt as well.
                    PARK_REASONS.released
                  : after.reason,
            error: (after.error ?? null) === null ? null : describeError(after.error),
            retryInMs: after.retryInMs,
          }),
    );
    room.crash('parked.keep:after');
  }

  async function countParked(): Promise<void> {
    const startedMs = room.clock.monotonic();
    if (startedMs < countAgainMs) return;
    const parked = await room.work.transaction((execute) => room.parked.count(execute));
    room.counts.parked.set({ consumer: room.name }, parked);
    const nowMs = room.clock.monotonic();
    countAgainMs = nowMs + REST_PER_COUNT * (nowMs - startedMs);
  }

  return {
    async redriveDue(signal) {
      let ran = 0;
      while (!signal.aborted && !room.stopping().aborted) {
        const rows = await claimDue();
        if (rows.length === 0) {
          // Asked only when there is nothing else to do: what others parked for want of a handler that this process has.
          if ((await room.work.transaction((execute) => room.parked.wakeHandled(execute, topics))) === 0) break;
          continue;
        }
        ran += rows.length;
        // All of them settle before an error is passed on, so that no handler runs on behind a stopped loop.
        const results = await Promise.allSettled(rows.map((row) => run(row, signal)));
        for (const result of results) if (result.status === 'rejected') throw result.reason;
      }
      await countParked();
      return ran;
    },
  };
}

/**
 * Takes up parked messages when they are due and runs their handlers again. A redrive is counted in a commit of its own before it is
 * made, so a message that kills the process is not tried for ever.
 */
import { describeError } from '../../runtime/describe-error.ts';
import { attemptOnce } from './attempt.ts';
import { decideAfterRedrive, PARK_REASONS, type Outcome } from '../handlers/decide.ts';
import { noHandler } from '../handlers/handler.ts';
import { readIncoming, unpackWire } from './incoming.ts';
import type { ParkedRow } from '../stores/parked-delivery-store.ts';
import { policiesFor, topicLabel, type ConsumerContext } from './consumer-context.ts';

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

export function createRedriver<Tx>(context: ConsumerContext<Tx>, since: () => Promise<number>): Redriver {
  let countAgainMs = -Infinity;
  const topics = [...context.handlers.keys()];

  async function claimDue(): Promise<readonly ParkedRow[]> {
    context.crash('parked.claim:before');
    const rows = await context.work.transaction(async (execute) => {
      const due = await context.parked.lockDue(execute, { limit: BATCH, ordered: context.ordered, topics });
      for (const row of due) {
        const last = row.redrives + 1 >= context.parkedRetry.attempts;
        await context.parked.claim(execute, row.messageId, last ? null : context.longestTimeoutMs + CLAIM_MARGIN_MS);
      }
      return due;
    });
    context.crash('parked.claim:after');
    return rows;
  }

  async function run(row: ParkedRow, signal: AbortSignal): Promise<void> {
    const incoming = readIncoming(unpackWire(row.envelope));
    const handler = context.handlers.get(incoming.topic);
    let outcome: Outcome;
    if (incoming.envelope === null) outcome = { kind: 'failed', error: incoming.error };
    else if (handler === undefined) outcome = { kind: 'unhandled' };
    else {
      const sinceMs = context.ordered && incoming.envelope.predecessor !== null ? await since() : 0;
      outcome = await attemptOnce(context, {
        incoming: { ...incoming, envelope: incoming.envelope },
        handler,
        attempt: row.attempts + 1,
        signal,
        parked: true,
        sinceMs,
      });
    }
    context.counts.redrives.inc({
      consumer: context.name,
      topic: topicLabel(context, incoming.topic),
      outcome: outcome.kind,
    });
    const after = decideAfterRedrive(outcome, row.redrives + 1, policiesFor(context, handler));
    const fields = { id: row.messageId, topic: incoming.topic, key: row.key, redrive: row.redrives + 1 };
    if (after.do === 'nothing') {
      if (outcome.kind !== 'gone')
        context.log.info(
          fields,
          outcome.kind === 'lost' ? 'parked at-most-once message failed and is lost' : 'parked message handled',
        );
      return;
    }
    if (after.do === 'hand on') {
      const error = noHandler(context.name, incoming.topic);
      context.log.warn(
        { ...fields, err: error },
        'no handler for a parked message here: it waits for a process that has one',
      );
      await context.work.transaction((execute) => context.parked.handOn(execute, row.messageId, error.message));
      return;
    }
    if (after.do === 'keep')
      context.log.error(
        { ...fields, err: after.error, reason: after.reason, retryInMs: after.retryInMs },
        'parked message failed again',
      );
    context.crash('parked.keep:before');
    await context.work.transaction((execute) =>
      after.do === 'postpone'
        ? context.parked.postpone(execute, row.messageId, after.delayMs)
        : context.parked.keep(execute, row.messageId, {
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
    context.crash('parked.keep:after');
  }

  async function countParked(): Promise<void> {
    const startedMs = context.clock.monotonic();
    if (startedMs < countAgainMs) return;
    const parked = await context.work.transaction((execute) => context.parked.count(execute));
    context.counts.parked.set({ consumer: context.name }, parked);
    const nowMs = context.clock.monotonic();
    countAgainMs = nowMs + REST_PER_COUNT * (nowMs - startedMs);
  }

  return {
    async redriveDue(signal) {
      let ran = 0;
      while (!signal.aborted && !context.stopping().aborted) {
        const rows = await claimDue();
        if (rows.length === 0) {
          // Asked only when there is nothing else to do: what others parked for want of a handler that this process has.
          if ((await context.work.transaction((execute) => context.parked.wakeHandled(execute, topics))) === 0) break;
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

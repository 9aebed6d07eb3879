/**
 * Redrives parked messages: runs their handlers again when they are due. A redrive is counted in a commit of its own before it begins, so a
 * message that kills the process is not tried for ever.
 */
import { isTracing } from '../../runtime/telemetry.ts';
import { PARK_REASONS, type AttemptOutcome } from '../handlers/decide.ts';
import { decideAfterRedrive, type RedriveDecision } from '../handlers/decide-redrive.ts';
import { noHandler, type ResolvedHandler } from '../handlers/handler.ts';
import type { ParkedRow, ParkingStatus } from '../stores/parked-delivery-store.ts';
import { attemptOnce } from './attempt.ts';
import { policiesFor, topicLabel, type ConsumerContext } from './consumer-context.ts';
import { keptErrorText } from './kept-error.ts';
import { isReadable, readIncoming, unpackWire, type Incoming } from './incoming.ts';
import { startProcess } from './process-span.ts';
import type { Signatures } from './signatures.ts';
import { verifyAgain } from './unverified.ts';

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

export function createRedriver<Tx>(context: ConsumerContext<Tx>): Redriver {
  return new ParkedRedriver(context);
}

class ParkedRedriver<Tx> implements Redriver {
  readonly #context: ConsumerContext<Tx>;
  readonly #topics: readonly string[];
  /** Monotonic milliseconds. */
  #countAgainMs = -Infinity;

  constructor(context: ConsumerContext<Tx>) {
    this.#context = context;
    this.#topics = [...context.handlers.keys()];
  }

  async redriveDue(signal: AbortSignal): Promise<number> {
    const { work, parked, stopping } = this.#context;
    let ran = 0;
    while (!signal.aborted && !stopping().aborted) {
      const rows = await this.#claimDue();
      if (rows.length === 0) {
        // Asked only when there is nothing else to do: what others parked for want of a handler that this process has.
        const woken = await work.transaction((execute) => parked.wakeHandled(execute, this.#topics));
        if (woken === 0) break;
        continue;
      }
      ran += rows.length;
      // All of them settle before an error is passed on, so that no handler runs on behind a stopped loop.
      const results = await Promise.allSettled(rows.map((row) => this.#redrive(row, signal)));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    }
    await this.#countParked();
    return ran;
  }

  async #claimDue(): Promise<readonly ParkedRow[]> {
    const { work, parked, ordered, parkedRetry, longestTimeoutMs, crash } = this.#context;
    crash('parked.claim:before');
    const rows = await work.transaction(async (execute) => {
      const due = await parked.lockDue(execute, { limit: BATCH, ordered, topics: this.#topics });
      for (const row of due) {
        const last = row.redrives + 1 >= parkedRetry.attempts;
        await parked.claim(execute, row.messageId, last ? null : longestTimeoutMs + CLAIM_MARGIN_MS);
      }
      return due;
    });
    crash('parked.claim:after');
    return rows;
  }

  async #redrive(row: ParkedRow, signal: AbortSignal): Promise<void> {
    const context = this.#context;
    if (row.reason === PARK_REASONS.unverified && context.signatures !== null)
      return this.#verify(row, context.signatures);
    const read = readIncoming(unpackWire(row.envelope));
    const span = isTracing() ? startProcess(context, read, { redrive: true }) : null;
    const incoming = span === null ? read : { ...read, span };
    try {
      await this.#redriveTraced(row, incoming, signal);
    } finally {
      span?.end();
    }
  }

  /** Its handler comes later, once it stands under its own id and key. */
  async #verify(row: ParkedRow, signatures: Signatures): Promise<void> {
    const { work, parked, log } = this.#context;
    const again = await verifyAgain(this.#context, signatures, row);
    if (again.kind === 'unavailable') throw again.error;
    const fields = { id: row.messageId, redrive: row.redrives + 1 };
    if (again.kind !== 'refused') return log.info(fields, 'the signature of a parked message is accepted now');
    const { error, retryInMs } = again;
    log.error({ ...fields, err: error, retryInMs }, 'the signature of a parked message is not accepted');
    const status = {
      state: 'failed',
      reason: PARK_REASONS.unverified,
      error: keptErrorText(this.#context, row.messageId, error),
      retryInMs,
    } as const;
    await work.transaction((execute) => parked.keep(execute, row.messageId, status));
  }

  async #redriveTraced(row: ParkedRow, incoming: Incoming, signal: AbortSignal): Promise<void> {
    const context = this.#context;
    const { topic, span } = incoming;
    const handler = context.handlers.get(topic);
    const outcome = await this.#attempt(row, incoming, handler, signal);
    span?.set({ 'holdfast.outcome': outcome.kind });
    if ('error' in outcome) span?.fail(outcome.error);
    context.counts.redrives.inc({
      consumer: context.name,
      topic: topicLabel(context, topic),
      outcome: outcome.kind,
    });
    const counted = { redrives: row.redrives + 1, cuts: context.cuts.note(row.messageId, outcome.kind) };
    const decision = decideAfterRedrive(outcome, counted, policiesFor(context, handler));
    this.#report(row, topic, outcome, decision);
    await this.#apply(row, incoming, decision);
    context.watch?.redriven(incoming, outcome);
  }

  async #attempt(
    row: ParkedRow,
    incoming: Incoming,
    handler: ResolvedHandler<Tx> | undefined,
    signal: AbortSignal,
  ): Promise<AttemptOutcome> {
    const context = this.#context;
    if (!isReadable(incoming)) return { kind: 'failed', error: incoming.error };
    if (handler === undefined) return { kind: 'unhandled' };
    const sinceMs = context.ordered && incoming.envelope.predecessor !== null ? await context.firstRunMs() : 0;
    const attempt = row.attempts + 1;
    const missed = row.reason === PARK_REASONS.predecessor;
    return attemptOnce(context, { incoming, handler, attempt, signal, parked: true, sinceMs, missed });
  }

  #report(row: ParkedRow, topic: string, outcome: AttemptOutcome, decision: RedriveDecision): void {
    const { log, name } = this.#context;
    const fields = { id: row.messageId, topic, key: row.key, redrive: row.redrives + 1 };
    switch (decision.do) {
      case 'nothing':
        if (outcome.kind === 'lost') log.info(fields, 'parked at-most-once message failed and is lost');
        else if (outcome.kind !== 'gone' && outcome.kind !== 'behind') log.info(fields, 'parked message handled');
        return;
      case 'hand on':
        log.warn(
          { ...fields, err: noHandler(name, topic) },
          'no handler for a parked message here: it waits for a process that has one',
        );
        return;
      case 'keep': {
        const { error, reason, retryInMs } = decision;
        log.error({ ...fields, err: error, reason, retryInMs }, 'parked message failed again');
        return;
      }
      case 'postpone':
        if (outcome.kind === 'cut')
          log.warn({ ...fields, err: outcome.error }, 'the connection broke under the handler of a parked message');
    }
  }

  async #apply(row: ParkedRow, incoming: Incoming, decision: RedriveDecision): Promise<void> {
    const { work, parked, name, crash } = this.#context;
    const { messageId } = row;
    if (decision.do === 'nothing') return;
    if (decision.do === 'hand on') {
      const { message } = noHandler(name, incoming.topic);
      await work.transaction((execute) => parked.handOn(execute, messageId, message));
      return;
    }
    crash('parked.keep:before');
    await work.transaction((execute) =>
      decision.do === 'postpone'
        ? parked.postpone(execute, messageId, decision.delayMs)
        : parked.keep(execute, messageId, statusAfter(this.#context, row, incoming, decision)),
    );
    crash('parked.keep:after');
  }

  async #countParked(): Promise<void> {
    const { clock, work, parked, counts, name } = this.#context;
    const startedMs = clock.monotonic();
    if (startedMs < this.#countAgainMs) return;
    const count = await work.transaction((execute) => parked.count(execute));
    counts.parked.set({ consumer: name }, count);
    const nowMs = clock.monotonic();
    this.#countAgainMs = nowMs + REST_PER_COUNT * (nowMs - startedMs);
  }
}

/** What stands in the row after a redrive that failed. Pure. */
function statusAfter<Tx>(
  context: ConsumerContext<Tx>,
  row: ParkedRow,
  incoming: Incoming,
  { reason, error, retryInMs }: Extract<RedriveDecision, { do: 'keep' }>,
): ParkingStatus {
  return {
    state: 'failed',
    reason: reasonAfter(row, incoming, reason),
    error: keptErrorText(context, row.messageId, error),
    retryInMs,
  };
}

function reasonAfter(row: ParkedRow, incoming: Incoming, reason: string): string {
  // Undecodable messages keep saying so; only what the handler did is news.
  if (incoming.envelope === null) return PARK_REASONS.undecodable;
  // What a person allowed holds for the next attempt as well.
  return row.reason === PARK_REASONS.released ? PARK_REASONS.released : reason;
}

/**
 * Handles several messages in one transaction. One that fails is rolled back alone and then handled alone, in the ordinary way with all its
 * attempts; when the transaction fails as a whole, so are all of them. What has run in a batch in vain counts as no attempt.
 */
import type { Verdict } from '../../transport/port.ts';
import type { OpenBatch, RunBatch } from '../handlers/batch-work.ts';
import type { HandlerContext, ResolvedHandler } from '../handlers/handler.ts';
import type { Recording } from '../handlers/recording.ts';
import type { Statement } from '../handlers/unit-of-work.ts';
import { handleIn, isConflict, type EnteredOutcome } from './attempt.ts';
import type { AttemptLoop } from './attempt-loop.ts';
import { inLockOrder } from './batch-choice.ts';
import type { Collected } from './batch-collector.ts';
import { enterBatch, type MemberEntry } from './batch-entry.ts';
import type { ConsumerContext } from './consumer-context.ts';
import type { DeliveryAttempt } from './entry.ts';
import type { ReadableIncoming } from './incoming.ts';
import type { DeliverySettlement } from './settlement.ts';
import type { WaitingMessages } from './waiting-messages.ts';

const FAILED = 'a batch failed as a whole: its messages are handled one by one';

export interface BatchedDelivery<Tx> extends Collected {
  readonly incoming: ReadableIncoming;
  readonly handler: ResolvedHandler<Tx>;
  readonly signal: AbortSignal;
  readonly resolve: (verdict: Verdict) => void;
  readonly reject: (error: unknown) => void;
}

/** What becomes of a member. put back: its turn has not come. later: its delivery was taken away meanwhile. */
type Fate = 'handled' | 'duplicate' | 'alone' | 'put back' | 'later';

interface Member<Tx> {
  readonly delivery: BatchedDelivery<Tx>;
  readonly payload: unknown;
  fate: Fate;
  /** What the opening found; null before. */
  entry: MemberEntry | null;
  /** What its record is closed with, if it is handled. */
  closings: readonly object[];
}

export interface BatchRunnerOptions<Tx> {
  readonly context: ConsumerContext<Tx>;
  readonly settlement: DeliverySettlement<Tx>;
  readonly attempts: AttemptLoop<Tx>;
  readonly waiting: WaitingMessages;
  readonly runBatch: RunBatch<Tx>;
  readonly withinMs: number;
  /** Those whose turn did not come. */
  readonly putBack: (deliveries: readonly BatchedDelivery<Tx>[]) => void;
  readonly settled: (delivery: BatchedDelivery<Tx>) => void;
}

export class BatchRunner<Tx> {
  readonly #options: BatchRunnerOptions<Tx>;

  constructor(options: BatchRunnerOptions<Tx>) {
    this.#options = options;
  }

  /** @param release gives the slot back: called when the transaction is over. Never rejects. */
  async run(batch: readonly BatchedDelivery<Tx>[], release: () => void): Promise<void> {
    const members = await this.#decode(inLockOrder(batch));
    try {
      await this.#inOneTransaction(members.filter(({ fate }) => fate === 'put back'));
    } catch (error) {
      // A simulated crash: no verdict comes from a process that is dead.
      for (const { delivery } of members) delivery.reject(error);
      return;
    } finally {
      release();
    }
    this.#options.putBack(members.filter(({ fate }) => fate === 'put back').map(({ delivery }) => delivery));
    for (const member of members) if (member.fate !== 'put back') void this.#settle(member);
  }

  /** One that has come by itself, or did not do in a batch: in the ordinary way. Never rejects. */
  async runAlone(delivery: BatchedDelivery<Tx>): Promise<void> {
    const { incoming, handler, signal, resolve, reject } = delivery;
    try {
      resolve(await this.#options.attempts.run(incoming, handler, signal));
    } catch (error) {
      reject(error);
    } finally {
      this.#options.settled(delivery);
    }
  }

  /** What cannot be decoded goes alone: there it is decided what becomes of it. */
  async #decode(batch: readonly BatchedDelivery<Tx>[]): Promise<readonly Member<Tx>[]> {
    const members: Member<Tx>[] = [];
    for (const delivery of batch) {
      const { handler, incoming, signal } = delivery;
      try {
        const payload = await handler.decode(incoming.envelope, incoming.wire);
        members.push({ delivery, payload, fate: signal.aborted ? 'later' : 'put back', entry: null, closings: [] });
      } catch {
        members.push({ delivery, payload: null, fate: 'alone', entry: null, closings: [] });
      }
    }
    return members;
  }

  async #inOneTransaction(members: readonly Member<Tx>[]): Promise<void> {
    if (members.length === 0) return;
    const { context, runBatch } = this.#options;
    let sinceMs = 0;
    try {
      if (context.ordered) sinceMs = await context.firstRunMs();
    } catch (error) {
      return this.#failAll(members, error);
    }
    const attempts = members.map(({ delivery: { incoming, handler, signal } }): DeliveryAttempt<Tx> => ({
      incoming,
      handler,
      signal,
      attempt: 1,
      parked: false,
      batched: true,
      sinceMs,
    }));
    const entry = enterBatch(
      context,
      attempts.map((attempt, index) => ({ attempt, payload: members[index]?.payload })),
    );
    const timeoutMs = Math.max(...attempts.map(({ handler }) => handler.timeoutMs));
    const result = await runBatch(
      entry.statements,
      async (opened) => {
        const entries = entry.read(opened.results);
        for (const [index, member] of members.entries()) member.entry = entries[index] ?? null;
        return this.#runMembers(members, attempts, opened);
      },
      { timeoutMs, points: 'batch' },
    );
    if (result.kind === 'failed') this.#failAll(members, result.error);
  }

  async #runMembers(
    members: readonly Member<Tx>[],
    attempts: readonly DeliveryAttempt<Tx>[],
    opened: OpenBatch<Tx>,
  ): Promise<readonly Statement[] | null> {
    const { context, withinMs } = this.#options;
    const startedMs = context.clock.monotonic();
    let over = false;
    for (const [index, member] of members.entries()) {
      const attempt = attempts[index];
      const { entry } = member;
      if (attempt === undefined || entry === null) continue;
      if (entry.found !== 'enter') member.fate = entry.found;
      else if (!over) {
        const last = await this.#runMember(member, attempt, opened);
        over = last || context.clock.monotonic() - startedMs >= withinMs || context.stopping().aborted;
      }
    }
    return members.some(({ fate }) => fate === 'handled') ? this.#closing(members) : null;
  }

  /** Marks and records of those that were not handled are taken back, and the records of the others closed. */
  #closing(members: readonly Member<Tx>[]): readonly Statement[] {
    const unmarked: string[] = [];
    const closings = new Map<Recording<HandlerContext<Tx>>, object[]>();
    for (const { delivery, payload, entry, fate, closings: own } of members) {
      if (entry === null || !entry.marked) continue;
      const { incoming, handler } = delivery;
      if (fate !== 'handled') unmarked.push(incoming.id);
      const { recording } = handler;
      if (recording === null || entry.record === null) continue;
      const all = closings.get(recording) ?? [];
      closings.set(recording, all);
      const withdrawn = fate === 'handled' ? null : recording.withdraw(entry.record, { ...incoming, payload });
      if (withdrawn !== null) all.push(withdrawn);
      else if (fate === 'handled') all.push(...own);
    }
    const statements = [...closings].flatMap(([recording, all]) =>
      all.length === 0 ? [] : recording.closeStatements(all),
    );
    return unmarked.length === 0 ? statements : [...statements, this.#options.context.inbox.unmarkStatement(unmarked)];
  }

  /** @returns whether it is the last one of this transaction */
  async #runMember(member: Member<Tx>, attempt: DeliveryAttempt<Tx>, opened: OpenBatch<Tx>): Promise<boolean> {
    const { context } = this.#options;
    if (attempt.signal.aborted) {
      member.fate = 'later';
      return false;
    }
    const record = member.entry?.record ?? null;
    const gather = (closings: readonly object[]): void => void (member.closings = closings);
    const handled = (by: DeliveryAttempt<Tx>): ReturnType<typeof opened.member<EnteredOutcome>> =>
      opened.member((each) => handleIn(context, { attempt: by, payload: member.payload, record, gather }, each));
    let end = await handled(attempt);
    // What it wrote is rolled back, to the savepoint; the mark and the record, which stand before it, are kept.
    if (end.value.kind === 'refused' && !end.last) end = await handled({ ...attempt, refusal: end.value.refusal });
    const { value, kept, last } = end;
    member.fate = kept ? 'handled' : value.kind === 'aborted' ? 'later' : 'alone';
    if (member.fate === 'alone') {
      const { id, topic } = attempt.incoming;
      const err = 'error' in value ? value.error : undefined;
      context.log.debug({ id, topic, err }, 'a message failed in a batch: it is handled alone');
    }
    // Others may wait for what the transaction has locked, and it for them.
    return last || value.kind === 'conflict';
  }

  /** Nobody has an effect, or it is not known: then the marks tell, one by one. */
  #failAll(members: readonly Member<Tx>[], error: unknown): void {
    for (const member of members) if (member.fate === 'handled' || member.fate === 'put back') member.fate = 'alone';
    const { log } = this.#options.context;
    const fields = { messages: members.length, err: error };
    if (isConflict(error)) log.debug(fields, FAILED);
    else log.warn(fields, FAILED);
  }

  async #settle({ delivery, fate }: Member<Tx>): Promise<void> {
    if (fate === 'alone') return this.runAlone(delivery);
    const { settlement, settled, waiting } = this.#options;
    const { incoming, resolve, reject } = delivery;
    settled(delivery);
    try {
      if (fate === 'later') return resolve(settlement.later(incoming, 0));
      waiting.forget(incoming.id);
      resolve(settlement.acknowledge(incoming, fate === 'handled' ? 'handled' : 'duplicate'));
    } catch (error) {
      reject(error);
    }
  }
}

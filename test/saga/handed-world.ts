/**
 * A run with an open command, without a database: whatever happens to it, one thing after the other, as the engine would tell it.
 */
import { z } from 'zod';
import { message } from '../../src/message/message-type.ts';
import { afterwards } from '../../src/saga/decide/afterwards.ts';
import { collectCalls } from '../../src/saga/decide/calls.ts';
import { mayTakeHanded } from '../../src/saga/decide/handed.ts';
import { takeRunEvent } from '../../src/saga/decide/take-run-event.ts';
import { saga, type Saga } from '../../src/saga/definition/definition.ts';
import { wireCall } from '../../src/saga/definition/call-id.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../src/saga/journal/growth.ts';
import { command } from '../../src/saga/kinds/command.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { HandedReply } from '../../src/saga/run/handed-reply.ts';
import type { RunEvent } from '../../src/saga/run/run-events.ts';
import { Run } from '../../src/saga/run/run.ts';
import type { RunMessageBody } from '../../src/saga/store/store.ts';

export const RUN_ID = '01890a5d-ac96-774b-bcce-b302099a8057';
const Reserve = message('reserve', { schema: z.object({ id: z.string() }) });
const Release = message('release', { schema: z.object({ id: z.string() }) });
const Reserved = message('reserved', { schema: z.object({ place: z.string() }) });

const order = saga({
  name: 'order',
  input: z.object({}),
  steps: {
    pay: step({ pivot: true, run: () => 'paid' }),
    reserve: command(Reserve, {
      reply: Reserved,
      compensate: { message: Release, payload: ({ input }) => input },
      timeout: '10s',
      retry: { attempts: 2, base: 0 },
    }),
  },
  async run() {},
});

export type Reply = Extract<RunMessageBody, { kind: 'reply' }>;

/** Where in this test an error was made is no part of what is recorded. */
const withoutStack = (key: string, value: unknown): unknown => (key === 'stack' ? undefined : value);

/** Each thing that happens is committed by itself. */
export class World {
  readonly journal: JournalEvent[] = [];
  readonly run: Run;
  #now = 1_000;
  #messages = 0;

  constructor() {
    const settings = { maxBytes: 1_000_000, replyTo: 'replies', ...DEFAULT_JOURNAL_LIMITS };
    this.run = new Run(order as unknown as Saga, { id: RUN_ID, claims: 1, parent: null }, null, settings);
    this.run.messagesKnownAt = Infinity;
    this.run.recordStarted({}, '{}', this.#now);
  }

  async open(behindPivot: boolean): Promise<void> {
    const asked = { waitMs: null, untilAt: null };
    if (behindPivot) {
      void collectCalls(this.run, [{ id: 'pay', kind: 'step', step: 'pay', input: 'null', ...asked }], this.#context());
      const [pay] = this.run.state.open;
      if (pay !== undefined) this.run.recordDone(pay, '"paid"', this.#now);
    }
    const reserve = { id: 'reserve', kind: 'command', step: 'reserve', input: '{"id":"o1"}', ...asked } as const;
    await collectCalls(this.run, [reserve], this.#context());
    this.#commit();
  }

  get now(): number {
    return this.#now;
  }

  /** The name by which participants know the call as it was made last. */
  get wireCall(): string {
    const call = this.run.state.calls.get('reserve');
    return wireCall({ id: 'reserve', round: call?.round ?? 1 });
  }

  /** Whether it is taken in memory now: only then does it leave no mark. */
  takesInMemory(reply: Reply): boolean {
    const readable =
      reply.outcome === 'rejected' || typeof (reply.output as { place?: unknown } | undefined)?.place === 'string';
    return readable && mayTakeHanded(this.run, new HandedReply(RUN_ID, this.#now, reply, 10));
  }

  /** Time passes, and what is due is told. */
  async pass(ms: number): Promise<void> {
    this.wait(ms);
    await this.#take({ kind: 'due' });
  }

  /** Time passes, and nobody has looked at the timers yet. */
  wait(ms: number): void {
    this.#now += ms;
  }

  async message(body: RunMessageBody): Promise<void> {
    this.#messages += 1;
    await this.#take({
      kind: 'message',
      runMessage: { id: String(this.#messages), runId: RUN_ID, at: this.#now, body },
    });
  }

  /** Behind the pivot: the code ends with the failure of the call, and a person has that tried again. */
  async retry(): Promise<void> {
    const call = this.run.state.calls.get('reserve');
    if (call?.outcome === 'open' || !this.run.state.pivoted || this.run.state.phase !== 'forward') return;
    if (this.run.state.stuck === null && call?.givenUp === true) {
      const error = { name: 'Error', message: 'no place' };
      this.run.recordStuck({ why: 'forward', call: null, error, of: ['reserve'] }, this.#now);
      this.#commit();
    }
    if (this.run.state.stuck !== null) await this.message({ kind: 'retry', actor: 'ann' });
  }

  async #take(event: RunEvent): Promise<void> {
    const { run } = this;
    run.runEvents.push(event);
    for (let turns = 0; turns < 50; turns += 1) {
      const next = run.runEvents.shift();
      if (next === undefined) return;
      await takeRunEvent(run, next, this.#context());
      await afterwards(run, this.#context());
      this.#commit();
    }
    throw new Error('It does not come to rest.');
  }

  #commit(): void {
    if (!this.run.dirty) return;
    const { journal } = this.run.flush(null);
    if (journal !== null) this.journal.push(...(JSON.parse(journal.events, withoutStack) as JournalEvent[]));
  }

  #context(): { now: number; random: () => number } {
    return { now: this.#now, random: () => 0 };
  }
}

/** What the participant says of the call as it was made last. */
export function replyOf(world: World, outcome: 'done' | 'rejected' | 'unreadable'): Reply {
  const reply = { kind: 'reply', call: world.wireCall, to: 'command' } as const;
  if (outcome === 'rejected') return { ...reply, outcome };
  return { ...reply, outcome: 'done', output: outcome === 'done' ? { place: 'A4' } : { place: 4 } };
}

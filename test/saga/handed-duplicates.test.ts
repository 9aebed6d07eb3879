/**
 * A reply that was taken in memory has no mark, so nothing keeps it from being taken in once more. Whatever happens to a run before and
 * after, the journal is the same as if it had come once.
 *
 * Fails when answers to compensations, or what cannot be read, are taken without a mark as well.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
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

const RUN_ID = '01890a5d-ac96-774b-bcce-b302099a8057';
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

type Reply = Extract<RunMessageBody, { kind: 'reply' }>;

/** Where in this test an error was made is no part of what is recorded. */
const withoutStack = (key: string, value: unknown): unknown => (key === 'stack' ? undefined : value);

/** A run with an open command, and whatever happens to it. Each thing that happens is committed by itself. */
class World {
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
    this.#now += ms;
    await this.#take({ kind: 'due' });
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

type Happening =
  | { readonly what: 'reply'; readonly outcome: 'done' | 'rejected' | 'unreadable' }
  | { readonly what: 'compensation reply'; readonly outcome: 'done' | 'rejected' }
  | { readonly what: 'pass'; readonly ms: number }
  | { readonly what: 'cancel' }
  | { readonly what: 'retry' }
  /** A reply that was taken in memory comes once more: the first, the second … */
  | { readonly what: 'again'; readonly which: number };

const happening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      what: fc.constant('reply' as const),
      outcome: fc.constantFrom('done', 'rejected', 'unreadable'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      what: fc.constant('compensation reply' as const),
      outcome: fc.constantFrom('done', 'rejected'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ what: fc.constant('pass' as const), ms: fc.constantFrom(1, 4_000, 10_000, 30_000) }),
  },
  { weight: 1, arbitrary: fc.constant({ what: 'cancel' as const }) },
  { weight: 2, arbitrary: fc.constant({ what: 'retry' as const }) },
  { weight: 5, arbitrary: fc.record({ what: fc.constant('again' as const), which: fc.nat(2) }) },
);

function replyOf(world: World, outcome: 'done' | 'rejected' | 'unreadable'): Reply {
  const reply = { kind: 'reply', call: world.wireCall, to: 'command' } as const;
  if (outcome === 'rejected') return { ...reply, outcome };
  return { ...reply, outcome: 'done', output: outcome === 'done' ? { place: 'A4' } : { place: 4 } };
}

/** What is recorded. `twice`: what was taken without a mark comes again where the happenings say so. `takes`: which that is. */
async function journalOf(
  happenings: readonly Happening[],
  behindPivot: boolean,
  {
    twice,
    takes = (world, reply) => world.takesInMemory(reply),
  }: { readonly twice: boolean; readonly takes?: (world: World, reply: Reply) => boolean },
): Promise<readonly JournalEvent[]> {
  const world = new World();
  await world.open(behindPivot);
  const taken: Reply[] = [];
  /** A participant that has answered a call says the same of it ever after. */
  const said = new Map<string, Reply>();
  for (const each of happenings) {
    await world.pass(1);
    switch (each.what) {
      case 'reply': {
        const reply = said.get(world.wireCall) ?? replyOf(world, each.outcome);
        said.set(world.wireCall, reply);
        if (takes(world, reply)) taken.push(reply);
        await world.message(reply);
        break;
      }
      case 'compensation reply': {
        const reply = { kind: 'reply', call: world.wireCall, to: 'compensation', outcome: each.outcome } as const;
        if (takes(world, reply)) taken.push(reply);
        await world.message(reply);
        break;
      }
      case 'pass':
        await world.pass(each.ms);
        break;
      case 'cancel':
        await world.message({ kind: 'cancel' });
        break;
      case 'retry':
        await world.retry();
        break;
      case 'again': {
        const reply = taken[each.which];
        if (twice && reply !== undefined) await world.message(reply);
      }
    }
  }
  return world.journal;
}

const sequences = fc.tuple(fc.array(happening, { maxLength: 14 }), fc.boolean());

it('a reply that was taken in memory and comes again changes nothing, whatever has happened since', async () => {
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(sequences, async ([happenings, behindPivot]) => {
      const once = await journalOf(happenings, behindPivot, { twice: false });
      const takes = (world: World, reply: Reply): boolean => {
        const inMemory = world.takesInMemory(reply);
        if (inMemory) taken += 1;
        return inMemory;
      };
      expect(await journalOf(happenings, behindPivot, { twice: true, takes })).toEqual(once);
    }),
    { numRuns: 300 },
  );
  expect(taken).toBeGreaterThan(100);
});

it.each([
  ['answers to compensations', (reply: Reply) => reply.to === 'compensation'],
  [
    'what cannot be read',
    (reply: Reply) =>
      reply.to === 'command' && typeof (reply.output as { place?: unknown } | undefined)?.place === 'number',
  ],
] as const)('that is not so of %s: these need a mark', async (_, takes) => {
  const found = await fc.check(
    fc.asyncProperty(sequences, async ([happenings, behindPivot]) => {
      const once = await journalOf(happenings, behindPivot, { twice: false });
      const naive = await journalOf(happenings, behindPivot, { twice: true, takes: (_world, reply) => takes(reply) });
      expect(naive).toEqual(once);
    }),
    { numRuns: 5_000 },
  );
  expect(found.failed).toBe(true);
});

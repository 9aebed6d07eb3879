/**
 * A reply that was taken in memory has no mark, so nothing keeps it from being taken in once more. Whatever happens to a run before and
 * after, the journal is the same as if it had come once.
 *
 * Fails when answers to compensations, or what cannot be read, are taken without a mark as well.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import { replyOf, World, type Reply } from './handed-world.ts';

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

const sequences = fc.tuple(fc.array(happening, { maxLength: 14, size: 'max' }), fc.boolean());

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

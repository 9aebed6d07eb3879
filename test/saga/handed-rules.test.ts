/**
 * Which replies are taken in memory, and what whoever brought one is told of it: that it is recorded only where a commit has recorded it.
 * Whoever is told so acknowledges the reply, and nobody has it any more.
 */
import { describe, expect, it } from 'vitest';
import { mayTakeHanded } from '../../src/saga/decide/handed.ts';
import { requestCompensation } from '../../src/saga/decide/request-compensation.ts';
import { nextDue } from '../../src/saga/decide/due.ts';
import { HandedReplies } from '../../src/saga/engine/handed-replies.ts';
import { HandedReply } from '../../src/saga/run/handed-reply.ts';
import { replyOf, RUN_ID, World, type Reply } from './handed-world.ts';

async function openWorld(behindPivot = false): Promise<World> {
  const world = new World();
  await world.open(behindPivot);
  return world;
}

describe('a reply is taken in memory', () => {
  const takesAt = (world: World, at: number): boolean =>
    mayTakeHanded(world.run, new HandedReply(RUN_ID, at, replyOf(world, 'done'), 10));

  it('up to when a timer of the run is due, and not behind it: what came before that is told first', async () => {
    const world = await openWorld();
    const due = nextDue(world.run);
    expect(due).toBe(world.now + 10_000);
    expect([takesAt(world, due), takesAt(world, due + 1)]).toEqual([true, false]);
  });

  it('of a run that goes forward only', async () => {
    const world = await openWorld();
    expect(takesAt(world, world.now)).toBe(true);
    const reason = { reason: 'cancelled', error: undefined, actor: undefined, runMessage: null } as const;
    requestCompensation(world.run, reason, { now: world.now, random: () => 0 });
    // Until what compensates it is ready, the call is open still.
    expect(world.run.state).toMatchObject({ phase: 'compensating', stuck: null });
    expect(world.run.state.calls.get('reserve')).toMatchObject({ outcome: 'open' });
    expect(takesAt(world, world.now)).toBe(false);
  });

  it('of a call that was not answered before', async () => {
    const world = await openWorld();
    await world.message(replyOf(world, 'done'));
    expect(takesAt(world, world.now)).toBe(false);
  });
});

/** What has been told by now, for it is told at once or never. */
const answerOf = async (recorded: Promise<boolean> | null): Promise<boolean | null | 'nothing'> =>
  Promise.race([recorded, new Promise<'nothing'>((resolve) => void setImmediate(() => resolve('nothing')))]);

describe('whoever brought a reply', () => {
  async function handIn() {
    const world = await openWorld();
    let told = 0;
    const replies = new HandedReplies({
      runOf: (id) => (id === RUN_ID ? world.run : undefined),
      now: () => world.now,
      onHanded: () => (told += 1),
    });
    const text = (reply: Reply): string => JSON.stringify(reply);
    const take = (): Promise<boolean> | null => replies.take(RUN_ID, text(replyOf(world, 'done')));
    /** What the run takes in, and has in a commit that is on its way. */
    const commit = async (): Promise<readonly HandedReply[]> => {
      const event = world.run.runEvents.shift();
      if (event?.kind !== 'message') throw new Error('Nothing was handed in.');
      world.run.takeIn(event.runMessage);
      return world.run.takeHanded();
    };
    return { world, replies, take, commit, text, told: () => told };
  }

  it('is told that it is not recorded when the run leaves with it untaken', async () => {
    const { world, replies, take, told } = await handIn();
    const recorded = take();
    expect([told(), world.run.runEvents.length]).toEqual([1, 1]);
    expect(replies.bytes).toBeGreaterThan(0);
    replies.left(world.run);
    expect(await answerOf(recorded)).toBe(false);
    expect(replies.bytes).toBe(0);
  });

  it.each([true, false])('is told what became of the commit it is in (%s), although the run has left', async (done) => {
    const { world, replies, take, commit } = await handIn();
    const recorded = take();
    const handed = await commit();
    replies.left(world.run);
    expect(await answerOf(recorded)).toBe('nothing');
    replies.committed(handed, done);
    expect(await answerOf(recorded)).toBe(done);
  });

  it('is not told by another run that leaves', async () => {
    const { replies, take, commit } = await handIn();
    const recorded = take();
    const other = await openWorld();
    Object.defineProperty(other.run, 'id', { value: '01890a5d-ac96-774b-bcce-b302099a8058' });
    replies.left(other.run);
    replies.committed(await commit(), true);
    expect(await answerOf(recorded)).toBe(true);
  });

  it('is told that it is not recorded by a worker that dies, also with a commit on its way', async () => {
    const { replies, take, commit } = await handIn();
    const [first, second] = [take(), take()];
    const handed = await commit();
    replies.die();
    replies.committed(handed, true);
    expect([await answerOf(first), await answerOf(second)]).toEqual([false, false]);
  });

  it.each<[string, (world: World) => void]>([
    ['that is loaded anew', ({ run }) => (run.stale = true)],
    ['that goes to another worker', ({ run }) => (run.handedBack = 'other code')],
    ['whose code does not fit it', ({ run }) => run.setMismatch({} as Parameters<typeof run.setMismatch>[0])],
    ['that leaves memory', ({ run }) => run.enter('evicted')],
    ['that is done and held for its parent', ({ run, now }) => run.recordEnd('held', 'null', now)],
    [
      'that is stuck',
      ({ run, now }) => run.recordStuck({ why: 'forward', call: null, error: { name: 'Error', message: 'x' } }, now),
    ],
    [
      'that a person or a deadline wants compensated',
      ({ run }) =>
        (run.pendingCompensation = { reason: 'cancelled', actor: undefined, error: undefined, runMessage: null }),
    ],
  ])('keeps it, for a run %s', async (_, happens) => {
    const { world, take, told } = await handIn();
    happens(world);
    expect([take(), told(), world.run.runEvents]).toEqual([null, 0, []]);
  });

  it('keeps it, for a run that is not here', async () => {
    const { world, replies, text } = await handIn();
    expect(replies.take('01890a5d-ac96-774b-bcce-b302099a8058', text(replyOf(world, 'done')))).toBeNull();
  });
});

/**
 * Claimed runs on their way into memory: which of them are tried alone and in which order, what is durable before that, and what becomes of a
 * run that is claimed again while it is still here.
 */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { silentLogger } from '../../src/runtime/log.ts';
import { createRegistry, saga } from '../../src/saga/definition/definition.ts';
import { ClaimLoader } from '../../src/saga/engine/claim-loader.ts';
import { RunCache } from '../../src/saga/engine/run-cache.ts';
import { DEFAULT_JOURNAL_LIMITS } from '../../src/saga/journal/growth.ts';
import type { JournalEvent } from '../../src/saga/journal/events.ts';
import type { Run } from '../../src/saga/run/run.ts';
import type { ClaimedRun } from '../../src/saga/store/store.ts';
import { types } from './run-recorder.ts';

const idOf = (n: number): string => `01890a5d-ac96-774b-bcce-${String(n).padStart(12, '0')}`;
const STARTED: JournalEvent = { t: 'started', input: {} };
const trial = (lost: number): JournalEvent => ({ t: 'recovered', lost, alone: true });

function claimedOf(
  n: number,
  { lost = 0, events = [STARTED] as readonly JournalEvent[], status = 'running' as const } = {},
): ClaimedRun {
  return {
    id: idOf(n),
    saga: 'order',
    version: 1,
    status,
    reason: null,
    pivoted: false,
    claims: 1,
    lost,
    deadlineAt: null,
    parent: null,
    journal: events.map((event, row) => ({ n: row, at: 1_000, events: [event] })),
    runMessages: [],
  };
}

/** A loader, and in which order what happened. */
function loaderOf({ isDraining = (): boolean => false, now = 2_000 } = {}) {
  const story: string[] = [];
  const runs = new RunCache();
  const name = (run: Run): string => `run ${Number(run.id.slice(-4))}`;
  const order = saga({
    name: 'order',
    input: z.object({}),
    steps: {},
    async run({ sleep }) {
      story.push('code');
      await sleep('1s');
    },
  });
  const loader = new ClaimLoader({
    runs,
    registry: createRegistry([order], 'test'),
    settings: { maxBytes: 1_000_000, replyTo: 'replies', ...DEFAULT_JOURNAL_LIMITS },
    log: silentLogger,
    context: () => ({ now, random: () => 0 }),
    addRunMessage: () => {},
    onTaken: (run) => void story.push(`${name(run)} taken`),
    giveBack: (run) => void story.push(`${name(run)} given back`),
    quiet: async (run) => {
      story.push(`${name(run)} has ${types(run).join('+')}`);
      run.flush(null);
    },
    isDead: () => false,
    isDraining,
  });
  const take = (claimed: readonly ClaimedRun[], at = now): Promise<void> => loader.take(claimed, at);
  return { loader, story, runs, take };
}

describe('runs that were lost with several workers', () => {
  it('are tried one after the other, the most suspect last, and each trial is durable before its code runs', async () => {
    const { take, story } = loaderOf();
    const worse = claimedOf(1, { lost: 5, events: [STARTED, trial(3), trial(4)] });
    await take([worse, claimedOf(2, { lost: 3 }), claimedOf(3)]);
    expect(story).toEqual([
      'code',
      'run 3 taken',
      'run 2 has recovered',
      'code',
      'run 2 taken',
      'run 2 has recovered+called',
      'run 1 has recovered',
      'code',
      'run 1 taken',
      'run 1 has recovered+called',
    ]);
  });

  it('are not tried by a worker that stops', async () => {
    const { take, story } = loaderOf({ isDraining: () => true });
    await take([claimedOf(2, { lost: 3 })]);
    expect(story).toEqual([]);
  });

  it('go on with a trial that came to nothing because its worker was stopped, and begin another one after a death', async () => {
    const stopped = loaderOf();
    await stopped.take([claimedOf(1, { lost: 3, events: [STARTED, trial(3)] })]);
    expect(stopped.story[0]).toBe('code');
    const died = loaderOf();
    await died.take([claimedOf(1, { lost: 4, events: [STARTED, trial(3)] })]);
    expect(died.story[0]).toBe('run 1 has recovered');
  });

  it('are stuck and not run once that is proven, and are compensated where their code is not run any more', async () => {
    const deaths = [trial(3), trial(4), trial(5)];
    const proven = loaderOf();
    await proven.take([claimedOf(1, { lost: 6, events: [STARTED, ...deaths] })]);
    expect(proven.story).toEqual(['run 1 taken']);
    expect(proven.runs.get(idOf(1))?.state.stuck).toMatchObject({ why: 'kills workers' });
    const undoing: JournalEvent = { t: 'undoing', reason: 'cancelled' };
    const back = loaderOf();
    await back.take([claimedOf(1, { lost: 7, events: [STARTED, undoing, ...deaths] })]);
    expect(back.runs.get(idOf(1))?.state).toMatchObject({ stuck: null, phase: 'compensated' });
  });
});

describe('a timer that came due while its run was read', () => {
  const asleep: JournalEvent = {
    t: 'called',
    call: 'sleep#1',
    kind: 'sleep',
    step: 'sleep',
    input: 1_000,
    until: 1_500,
  };

  it('is told only when the look that found the run had begun by then: what came before it is here', async () => {
    for (const [at, due] of [
      [1_499, 0],
      [1_500, 1],
    ] as const) {
      const { take, runs } = loaderOf();
      await take([claimedOf(1, { events: [STARTED, asleep] })], at);
      expect(runs.get(idOf(1))?.runEvents.filter(({ kind }) => kind === 'due')).toHaveLength(due);
    }
  });
});

describe('a run that is claimed again while it is here', () => {
  it('is read when it has left', async () => {
    const { loader, take, runs, story } = loaderOf();
    await take([claimedOf(1)]);
    const before = runs.get(idOf(1));
    if (before === undefined) throw new Error('It was not taken.');
    await take([claimedOf(1)]);
    expect(runs.get(idOf(1))).toBe(before);
    runs.remove(before);
    loader.left(before);
    await new Promise((resolve) => void setTimeout(resolve, 0));
    expect(story).toEqual(['code', 'run 1 taken', 'code', 'run 1 taken']);
    expect(runs.get(idOf(1))).not.toBe(before);
  });
});

/** What a replay does of work, and that replaying in haste comes to the same as replaying at the pace of the first time. */
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { saga, type AnySaga, type Saga } from '../../src/saga/definition/definition.ts';
import type { JournalEvent, JournalRow } from '../../src/saga/journal/events.ts';
import { createFlow } from '../../src/saga/replay/flow.ts';
import { replay, type Replayed } from '../../src/saga/replay/replay.ts';
import { step } from '../../src/saga/kinds/step.ts';
import { turn } from '../../src/saga/replay/turn.ts';

interface Work {
  readonly fit: Replayed['fit'];
  /** Turns of the event loop, and how often the code was made. */
  readonly turns: number;
  readonly made: number;
}

async function work(of: AnySaga, journal: readonly JournalRow[]): Promise<Work> {
  let [turns, made] = [0, 0];
  const make = () => {
    made += 1;
    return createFlow({ saga: of as Saga, runId: 'r', input: null, maxBytes: 1_000 });
  };
  const { fit } = await replay(of, make, journal, () => ((turns += 1), turn()));
  return { fit, turns, made };
}

const rows = (events: readonly JournalEvent[]): readonly JournalRow[] =>
  [{ t: 'started', input: null } as JournalEvent, ...events].map((event, n) => ({ n, at: 0, events: [event] }));

const called = (index: number, input?: unknown): JournalEvent => ({
  t: 'called',
  call: `page:${index}`,
  kind: 'step',
  step: 'page',
  ...(input === undefined ? {} : { input }),
});
const pages = (count: number, output?: () => unknown): readonly JournalEvent[] =>
  Array.from({ length: count }, (_, index): readonly JournalEvent[] => [
    called(index),
    { t: 'done', call: `page:${index}`, ...(output === undefined ? {} : { output: output() }) },
  ]).flat();

const make = (
  run: (context: { page: (index: number, input?: unknown) => Promise<unknown> }) => Promise<unknown>,
): AnySaga =>
  saga({
    name: 'long',
    input: z.null(),
    steps: { page: step({ run: (_: unknown) => null as unknown as string[] }) },
    run: async ({ steps }) => {
      await run({ page: (index, input) => steps.page(input, { id: String(index) }) });
    },
  });

/** Longer than haste waits, and shorter than a turn of the event loop. */
const later = async (): Promise<void> => {
  for (let tick = 0; tick < 5; tick += 1) await new Promise<void>((resolve) => process.nextTick(resolve));
};

describe('a replay', () => {
  const long = make(async ({ page }) => {
    for (let index = 0; ; index += 1) await page(index);
  });

  it('of a long journal takes few turns of the event loop, and grows with the journal alone', async () => {
    const [small, large] = [await work(long, rows(pages(500))), await work(long, rows(pages(5_000)))];
    for (const { fit, made } of [small, large]) {
      expect(fit).toMatchObject({ kind: 'fits', ending: null });
      expect(made).toBe(1);
    }
    expect(small.turns).toBeLessThan(500 / 30 + 3);
    expect(large.turns).toBeLessThan(5_000 / 30 + 3);
    expect(large.fit).toMatchObject({ calls: [{ id: 'page:5000' }] });
  });

  it('of a short one takes a turn for each thing the code is told, as the first time', async () => {
    expect(await work(long, rows(pages(10)))).toMatchObject({ turns: 11, made: 1, fit: { kind: 'fits' } });
  });

  it('fits code that puts off what it does, which haste alone would take for one that awaits something else', async () => {
    const tardy = make(async ({ page }) => {
      for (let index = 0; ; index += 1) {
        await later();
        await page(index);
      }
    });
    expect(await work(tardy, rows(pages(200)))).toMatchObject({ made: 2, fit: { kind: 'fits', calls: [{}] } });
  });

  it('gives the code its values as they were, also where it changes them and is replayed twice', async () => {
    const changing = make(async ({ page }) => {
      for (let index = 0; ; index += 2) {
        const list = (await page(index)) as string[];
        list.push('more');
        await later();
        await page(index + 1, list);
      }
    });
    const events = Array.from({ length: 100 }, (_, index): readonly JournalEvent[] => [
      called(2 * index),
      { t: 'done', call: `page:${2 * index}`, output: ['one'] },
      called(2 * index + 1, ['one', 'more']),
      { t: 'done', call: `page:${2 * index + 1}` },
    ]).flat();
    expect(await work(changing, rows(events))).toMatchObject({ made: 2, fit: { kind: 'fits' } });
  });

  it('says the same of code that does something else, in haste or not', async () => {
    const other = make(async ({ page }) => {
      for (let index = 0; ; index += 1) await page(index === 150 ? 7_000 : index);
    });
    const { fit } = await work(other, rows(pages(200)));
    expect(fit).toMatchObject({ kind: 'mismatch', why: 'non-determinism' });
  });

  it('ends as the run did where a branch fails that nobody awaits', async () => {
    const stray = make(async ({ page }) => {
      for (let index = 0; index < 200; index += 1) await page(index);
      const lost = async (): Promise<void> => {
        await page(200);
        throw new Error('lost');
      };
      void lost();
      await page(201);
    });
    const end = [called(200), called(201), { t: 'done', call: 'page:200' }, { t: 'done', call: 'page:201' }];
    const { fit } = await work(stray, rows([...pages(200), ...(end as JournalEvent[])]));
    expect(fit).toMatchObject({ kind: 'fits', ending: { kind: 'threw', error: { message: 'lost' } } });
  });
});

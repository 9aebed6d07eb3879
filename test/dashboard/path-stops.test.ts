/** Where the stops of a message's way lead, and what is said of lists that were not looked through whole. */
import { describe, expect, it } from 'vitest';
import { lookedText } from '../../src/dashboard/page/app/looked.ts';
import { isHandledElsewhere, stopsOf, wholeTime } from '../../src/dashboard/page/app/path-stops.ts';
import { clockText } from '../../src/dashboard/page/app/texts.ts';
import type { WirePath } from '../../src/dashboard/page/app/wire.ts';
import { storyOf } from '../../src/operations/path/path-story.ts';
import { idOf, pathAnswer, samplePath } from './sample-path.ts';

const ids = { message: idOf(1), run: idOf(2) };

/** With some of its facts changed, and told anew. */
function pathWith(changes: Partial<ReturnType<typeof samplePath>>): WirePath {
  const facts = { ...samplePath(ids), ...changes };
  return JSON.parse(JSON.stringify({ ...facts, steps: storyOf(facts) })) as WirePath;
}
const linksOf = (path: WirePath) =>
  stopsOf(path).map(({ where, look, link }) => [
    where,
    look.shape,
    link === null ? null : link.path + (typeof link.query['call'] === 'string' ? `?call=${link.query['call']}` : ''),
  ]);

describe('the stops of a way', () => {
  it('lead to the run and its call, to what is parked, and to the messages around', () => {
    expect(linksOf(pathAnswer(ids))).toEqual([
      ['Caused by', 'dot', `messages/${idOf(401)}`],
      ['Transaction', 'check', `runs/${ids.run}?call=reserve`],
      ['Beside it', 'dot', `messages/${idOf(402)}`],
      ['Relay of main', 'check', null],
      ['Relay of search', 'ring', null],
      ['Consumer billing', 'check', null],
      ['Participant stock', 'check', null],
      ['Led to', 'dot', `messages/${idOf(403)}`],
      ['Consumer shipping', 'square', `parked/${ids.message}`],
      ['Saga', 'check', `runs/${ids.run}?call=reserve`],
    ]);
  });

  it('have the times between, and their sum', () => {
    const path = pathAnswer(ids);
    const stops = stopsOf(path);
    const known = stops.filter(({ at }) => at !== null);
    for (const [index, stop] of known.entries()) {
      const before = known[index - 1]?.at ?? null;
      expect(stop.gapMs).toBe(before === null ? null : (stop.at ?? 0) - before);
    }
    expect(wholeTime(path)).toBe(590);
    expect(wholeTime(pathWith({ consumers: [], participants: [], led: [], sender: null }))).toBe(null);
  });

  it('lead from a run that was started beside it, and from a reply to the call that it answers', () => {
    const run = { id: idOf(9), saga: 'ship', version: 2, key: null, status: 'running' } as const;
    const path = pathWith({
      together: { messages: [], runs: [run] },
      sender: null,
      answer: {
        run,
        runId: run.id,
        call: 'charge',
        to: 'command',
        outcome: 'done',
        state: 'waiting',
        taken: null,
      },
    });
    expect(linksOf(path)).toContainEqual(['Beside it', 'dot', `runs/${run.id}`]);
    expect(linksOf(path)).toContainEqual(['Transaction', 'check', null]);
    expect(linksOf(path)).toContainEqual(['Saga', 'ring', `runs/${run.id}?call=charge`]);
  });

  it('of what was lost while it was handled lead to nothing parked', () => {
    const at = new Date();
    const path = pathWith({
      consumers: [{ consumer: 'billing', state: 'suspect', at, attempts: 2, parked: null }],
    });
    expect(linksOf(path)).toContainEqual(['Consumer billing', 'square', null]);
  });

  it('say where one has to look elsewhere', () => {
    expect(isHandledElsewhere(pathAnswer(ids))).toBe(false);
    expect(isHandledElsewhere(pathWith({ consumers: [] }))).toBe(true);
    expect(isHandledElsewhere(pathWith({ consumers: [], relays: [] }))).toBe(false);
    expect(isHandledElsewhere(pathWith({ consumers: [], state: 'pruned', message: null }))).toBe(false);
  });

  it('of one whose time has not come are that it waits', () => {
    const path = pathWith({
      state: 'scheduled',
      message: null,
      scheduled: { topic: 'order.late', key: null, dueAt: new Date() },
      causes: [],
      together: { messages: [], runs: [] },
      sender: null,
      relays: [],
      consumers: [],
      participants: [],
      led: [],
    });
    expect(linksOf(path)).toEqual([['Scheduled', 'ring', null]]);
  });
});

describe('how far a list looked', () => {
  const now = new Date(2026, 0, 2, 15, 0, 0).getTime();
  const reached = new Date(2026, 0, 2, 14, 2, 3).toISOString();

  it('is said when it did not look at all', () => {
    expect(lookedText({ rows: 21_000, reached, complete: false }, 'message', now)).toBe(
      'Looked through 21,000 messages, as far as 14:02:03. There may be more that fit.',
    );
    expect(lookedText({ rows: 1, reached: null, complete: false }, 'run', now)).toBe(
      'Looked through 1 run. There may be more that fit.',
    );
    expect(lookedText({ rows: 21_000, reached, complete: true }, 'message', now)).toBe(null);
  });

  it('has the day where it is not this one', () => {
    expect(clockText(new Date(2026, 0, 1, 14, 2, 3).getTime(), now)).toBe('2026-01-01 14:02:03');
    expect(clockText(now, now)).toBe('15:00:00');
  });
});

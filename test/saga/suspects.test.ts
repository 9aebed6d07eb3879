/** When a run is suspected of killing its workers. */
import { describe, expect, it } from 'vitest';
import type { JournalEvent, JournalRow } from '../../src/saga/events.ts';
import { LOST_BEFORE_SUSPECT, openTrials, suspicionOf, TRIALS_BEFORE_STUCK } from '../../src/saga/suspects.ts';

const started: JournalEvent = { t: 'started', input: null };
const called: JournalEvent = { t: 'called', call: 'a', kind: 'step', step: 'a' };
const recovered = (lost: number): JournalEvent => ({ t: 'recovered', lost });
const trial = (lost: number): JournalEvent => ({ t: 'recovered', lost, alone: true });
const journal = (...rows: readonly (readonly JournalEvent[])[]): JournalRow[] =>
  rows.map((events, n) => ({ n, at: n, events }));
const trials = (lost: number, count: number): JournalEvent[][] =>
  Array.from({ length: count }, (_, index) => [trial(lost + index)]);

describe('a run', () => {
  it('is not suspect as long as what was lost with it is accounted for now and then', () => {
    for (let lost = 0; lost < LOST_BEFORE_SUSPECT; lost += 1)
      expect(suspicionOf({ lost, journal: journal([started]) })).toBe('none');
    expect(suspicionOf({ lost: 9, journal: journal([started], [recovered(9 - LOST_BEFORE_SUSPECT + 1)]) })).toBe(
      'none',
    );
  });

  it('is suspect once that many workers died with it in a row', () => {
    expect(suspicionOf({ lost: LOST_BEFORE_SUSPECT, journal: journal([started]) })).toBe('suspect');
    expect(suspicionOf({ lost: 9, journal: journal([started], [recovered(9 - LOST_BEFORE_SUSPECT)]) })).toBe('suspect');
  });

  it('is proven once workers died with all of its trials, and not before', () => {
    const upTo = (count: number) => journal([started], ...trials(LOST_BEFORE_SUSPECT, count));
    for (let count = 1; count < TRIALS_BEFORE_STUCK; count += 1)
      expect(suspicionOf({ lost: LOST_BEFORE_SUSPECT + count, journal: upTo(count) })).toBe('suspect');
    const all = upTo(TRIALS_BEFORE_STUCK);
    expect(suspicionOf({ lost: LOST_BEFORE_SUSPECT + TRIALS_BEFORE_STUCK, journal: all })).toBe('proven');
    // The worker of the last trial was stopped in good order.
    expect(suspicionOf({ lost: LOST_BEFORE_SUSPECT + TRIALS_BEFORE_STUCK - 1, journal: all })).toBe('suspect');
  });

  it('is cleared by whatever is recorded after a trial', () => {
    for (const event of [called, recovered(3), { t: 'retried', actor: 'ann' } as const]) {
      const rows = journal([started], ...trials(1, TRIALS_BEFORE_STUCK), [event]);
      expect(openTrials(rows)).toBe(0);
      expect(suspicionOf({ lost: 4, journal: rows })).toBe('none');
    }
  });

  it('is tried alone again as long as its trial has not come to an end', () => {
    expect(openTrials(journal([started], [called], [trial(3)], [trial(4)]))).toBe(2);
    expect(suspicionOf({ lost: 4, journal: journal([started], [trial(3)], [trial(4)]) })).toBe('suspect');
  });
});

/** When a run is suspected of killing its workers. */
import { describe, expect, it } from 'vitest';
import type { JournalEvent, JournalRow } from '../../src/saga/journal/events.ts';
import { deadlyTrials, LOST_BEFORE_TRIAL, suspicionOf, TRIALS_BEFORE_STUCK } from '../../src/saga/decide/quarantine.ts';

const started: JournalEvent = { t: 'started', input: null };
const recovered = (lost: number): JournalEvent => ({ t: 'recovered', lost });
const trial = (lost: number): JournalEvent => ({ t: 'recovered', lost, alone: true });
const journal = (...rows: readonly (readonly JournalEvent[])[]): JournalRow[] =>
  rows.map((events, n) => ({ n, at: n, events }));
const trials = (lost: number, count: number): JournalEvent[][] =>
  Array.from({ length: count }, (_, index) => [trial(lost + index)]);

describe('a run', () => {
  it('is not suspect as long as what was lost with it is accounted for now and then', () => {
    for (let lost = 0; lost < LOST_BEFORE_TRIAL; lost += 1)
      expect(suspicionOf({ lost, journal: journal([started]) })).toBe('none');
    expect(suspicionOf({ lost: 9, journal: journal([started], [recovered(9 - LOST_BEFORE_TRIAL + 1)]) })).toBe('none');
  });

  it('is suspect once that many workers died with it in a row', () => {
    expect(suspicionOf({ lost: LOST_BEFORE_TRIAL, journal: journal([started]) })).toBe('suspect');
    expect(suspicionOf({ lost: 9, journal: journal([started], [recovered(9 - LOST_BEFORE_TRIAL)]) })).toBe('suspect');
  });

  it('is proven once workers died with so many of its trials, and not before', () => {
    for (let count = 0; count <= TRIALS_BEFORE_STUCK; count += 1) {
      const tried = {
        lost: LOST_BEFORE_TRIAL + count,
        journal: journal([started], ...trials(LOST_BEFORE_TRIAL, count)),
      };
      expect(deadlyTrials(tried)).toBe(count);
      expect(suspicionOf(tried)).toBe(count < TRIALS_BEFORE_STUCK ? 'suspect' : 'proven');
    }
  });

  it('is not proven by trials that ended with a worker stopped in good order, however many', () => {
    const rows = journal([started], ...Array.from({ length: 9 }, () => [trial(LOST_BEFORE_TRIAL)]));
    expect(suspicionOf({ lost: LOST_BEFORE_TRIAL, journal: rows })).toBe('suspect');
    expect(deadlyTrials({ lost: LOST_BEFORE_TRIAL + 1, journal: rows })).toBe(1);
    const last = { lost: LOST_BEFORE_TRIAL + 2, journal: journal([started], ...trials(LOST_BEFORE_TRIAL, 3)) };
    expect(deadlyTrials(last)).toBe(2);
    expect(suspicionOf(last)).toBe('suspect');
  });

  it('is cleared by what accounts for its trials, and tried anew when a person asks for that', () => {
    const after = (event: JournalEvent) => ({
      lost: LOST_BEFORE_TRIAL + TRIALS_BEFORE_STUCK,
      journal: journal([started], ...trials(LOST_BEFORE_TRIAL, TRIALS_BEFORE_STUCK), [event]),
    });
    expect(suspicionOf(after(recovered(LOST_BEFORE_TRIAL + TRIALS_BEFORE_STUCK)))).toBe('none');
    expect(suspicionOf(after({ t: 'retried', actor: 'ann' }))).toBe('suspect');
    expect(deadlyTrials(after({ t: 'retried', actor: 'ann' }))).toBe(0);
  });
});

/**
 * Mistakes in how the journal of a run is read: its state, the budget of its attempts, what kills workers, its timers.
 */
import type { Mutant } from '../mutant.ts';

const FOLD = 'src/saga/state/fold-calls.ts';
const FOLDS = 'src/saga/state/folds.ts';
const RETRIED = 'src/saga/state/retried.ts';
const BUDGET = 'src/saga/journal/budget.ts';
const QUARANTINE = 'src/saga/decide/quarantine.ts';
const TIMERS = 'src/saga/run/timer-heap.ts';
const BACK = 'test/saga/way-back.test.ts';
const ORDER = 'test/saga/compensation.test.ts';
const BUDGETS = 'test/saga/budget.test.ts';
const SUSPECTS = 'test/saga/quarantine.test.ts';
const HEAP = 'test/saga/timers.test.ts';

export const SAGA_JOURNAL: readonly Mutant[] = [
  {
    name: 'saga/fold/outcome-in-doubt',
    file: FOLD,
    from: `call.doubt = event.outcome === 'unknown';`,
    to: `call.doubt = event.outcome === 'definite';`,
    breaks: 'I8: a journal that says unknown is read as definite',
    tests: [ORDER],
  },
  {
    name: 'saga/fold/refused-while-compensated',
    file: FOLD,
    from: `if (call.compensation === null && (call.outcome === 'failed' || call.degraded)) call.doubt = false;`,
    to: `if (call.outcome === 'failed' || call.degraded) call.doubt = false;`,
    breaks: 'I8: a late refusal ends a compensation that is under way',
    tests: [BACK],
  },
  {
    name: 'saga/fold/compensated-too-early',
    file: FOLD,
    from: 'if (call.compensation !== null) call.compensation.again = true;',
    to: `if (call.compensation?.state === 'open') call.compensation.again = true;`,
    breaks: 'I8: a command that came after its compensation stays done',
    tests: [ORDER],
  },
  {
    name: 'saga/fold/stand-in-counted-on',
    file: FOLDS,
    from: 'call.givenUp ||= call.degraded;',
    to: '',
    breaks: 'I8: a step that happened beside its fallback is not compensated when the run completes',
    tests: [ORDER],
  },
  {
    name: 'saga/fold/in-doubt-after-light',
    file: FOLDS,
    from: 'call.doubt = false;',
    to: '',
    breaks: 'I8: what is known to have happened stays in doubt, and is asked about for ever',
    tests: [ORDER],
  },
  {
    name: 'saga/fold/retry-forgets',
    file: RETRIED,
    from: `call.doubt ||= call.attempts > 0 || why === 'in doubt'`,
    to: `call.doubt ||= why === 'in doubt'`,
    breaks: 'I8: a retry by a person forgets the attempts that may have happened',
    tests: [BACK],
  },
  {
    name: 'saga/budget/lost-counted',
    file: BUDGET,
    from: 'attempt: attempts + 1 - spent.uncounted,',
    to: 'attempt: attempts + 1,',
    breaks: 'I16: attempts that were lost with workers use up those of the business',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/standstill-counted',
    file: BUDGET,
    from: 'elapsedMs: now - since - spent.idleMs - idle,',
    to: 'elapsedMs: now - since,',
    breaks: 'I16: the time in which nobody ran it uses up that of the business',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/one-more-worker',
    file: BUDGET,
    from: 'deathsIn(spent.lost + 1, lapsed) >= LOST_BEFORE_STUCK',
    to: 'deathsIn(spent.lost, lapsed) >= LOST_BEFORE_STUCK',
    breaks: 'I13: a step that kills its worker kills one more',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/innocence-unproven',
    file: BUDGET,
    from: `const lost = uncounted === 'lost' ? spent.lost + 1 : 0;`,
    to: 'const lost = uncounted === undefined ? 0 : spent.lost + 1;',
    breaks: 'I16: a step is stuck for workers that were stopped in good order',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/first-loss-waits',
    file: BUDGET,
    from: `(uncounted === 'lost' && spent.lost === 0);`,
    to: `(uncounted === 'lost' && spent.lost > 0);`,
    breaks: 'I16: what a dead worker left waits once more, and then no more',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/suspects-all-at-once',
    file: BUDGET,
    from: 'if (suspicion < LOST_BEFORE_SUSPECT) return Infinity;',
    to: 'if (suspicion <= LOST_BEFORE_SUSPECT) return Infinity;',
    breaks: 'I16: suspects begin all at once',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/last-suspects-together',
    file: BUDGET,
    from: 'return suspicion === LOST_BEFORE_SUSPECT ? SUSPECTS_AT_ONCE : 1;',
    to: 'return SUSPECTS_AT_ONCE;',
    breaks: 'I13: what only waits beside a step that kills workers is blamed for it',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/breaks-without-end',
    file: BUDGET,
    from: 'broken && spent.broken + 1 >= LOST_BEFORE_STUCK',
    to: 'broken && spent.broken + 1 > 1_000',
    breaks: 'I13: a step whose statement crashes its server process is tried for ever',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/breaks-unsuspected',
    file: BUDGET,
    from: 'return Math.max(Math.floor(deathsIn(lost, lapsed)), broken);',
    to: 'return Math.floor(deathsIn(lost, lapsed));',
    breaks: 'I16: what crashes the server is tried beside all others, and ends their connections too',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/breaks-added-up',
    file: BUDGET,
    from: 'const broken = end.broken === true ? spent.broken + 1 : 0;',
    to: 'const broken = spent.broken + (end.broken === true ? 1 : 0);',
    breaks: 'I16: a run is stuck for connections that broke weeks apart',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/no-rest-after-a-crash',
    file: BUDGET,
    from: 'broken && spent.broken > 0 ?',
    to: 'broken && spent.broken > 1_000 ?',
    breaks: 'I16: six attempts are over before a server that crashed is back',
    tests: [BUDGETS],
  },
  {
    name: 'saga/budget/idle-forgotten',
    file: BUDGET,
    from: 'const idle = spent.idleMs + Math.max(0, idleMs);',
    to: 'const idle = Math.max(0, idleMs);',
    breaks: 'I16: a standstill is forgotten with the next attempt',
    tests: [BUDGETS],
  },
  {
    name: 'saga/quarantine/never-proven',
    file: QUARANTINE,
    from: 'return deadlyTrials(run) >= TRIALS_BEFORE_STUCK ?',
    to: 'return deadlyTrials(run) > TRIALS_BEFORE_STUCK ?',
    breaks: 'I13: a run that kills workers kills one more',
    tests: [SUSPECTS],
  },
  {
    name: 'saga/quarantine/stopped-is-deadly',
    file: QUARANTINE,
    from: 'tried.delete(lost);',
    to: '',
    breaks: 'I16: a trial whose worker was stopped in good order proves a run guilty',
    tests: [SUSPECTS],
  },
  {
    name: 'saga/quarantine/trials-never-cleared',
    file: QUARANTINE,
    from: 'else tried.clear();',
    to: '',
    breaks: 'I16: a run that was retried by a person is not tried anew',
    tests: [SUSPECTS],
  },
  {
    name: 'saga/quarantine/trial-accounts',
    file: 'src/saga/journal/losses.ts',
    from: `if (event.t === 'recovered' && event.alone !== true) accounted = event.lost;`,
    to: `if (event.t === 'recovered') accounted = event.lost;`,
    breaks: 'I13: a trial clears the run, which kills workers for ever',
    tests: [SUSPECTS],
  },
  {
    name: 'saga/timers/early',
    file: TIMERS,
    from: 'first !== undefined && first.at <= now;',
    to: 'first !== undefined && first.at <= now + 1;',
    breaks: 'I12: a run is looked at before anything of it is due',
    tests: [HEAP],
  },
  {
    name: 'saga/timers/moved-timer-fires-twice',
    file: TIMERS,
    from: 'if (first === undefined || first.owner.timer === first) return first;',
    to: 'if (first === undefined || first.owner.timer !== null) return first;',
    breaks: 'I12: a timer that was moved fires at its old time',
    tests: [HEAP],
  },
  {
    name: 'saga/timers/lost-below',
    file: TIMERS,
    from: 'if (left + 1 < heap.length && isBefore(heap, left + 1, least)) least = left + 1;',
    to: '',
    breaks: 'I12: a timer comes late, behind one that is due after it',
    tests: [HEAP],
  },
];

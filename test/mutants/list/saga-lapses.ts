/** Mistakes about workers that lose their lease and live. */
import type { Mutant } from '../mutant.ts';

const LOSSES = 'src/saga/journal/losses.ts';
const BUDGET = 'src/saga/journal/budget.ts';
const QUARANTINE = 'src/saga/decide/quarantine.ts';
const LAPSES = 'src/saga/worker/lapses.ts';
const CORE = 'src/saga/worker/worker-core.ts';
const LEASES = 'src/saga/store/postgres/worker-leases.ts';
const RULES = 'test/saga/lapses.test.ts';
const WORKERS = 'test/saga/worker-lapses.test.ts';

export const SAGA_LAPSES: readonly Mutant[] = [
  {
    name: 'saga/lapses/deaths-all-the-same',
    file: LOSSES,
    from: 'return losses - lapses / 2;',
    to: 'return losses;',
    breaks: 'I16: an innocent run is stuck because the machine of its workers was starved',
    tests: [RULES],
  },
  {
    name: 'saga/lapses/weigh-nothing',
    file: LOSSES,
    from: 'return losses - lapses / 2;',
    to: 'return losses - lapses;',
    breaks: 'I13: a step that blocks its workers for longer than their lease is tried for ever',
    tests: [RULES],
  },
  {
    name: 'saga/lapses/of-all-times',
    file: 'src/saga/decide/lost-attempts.ts',
    from: 'return lapsesAfter(run, run.lost - lost - 1);',
    to: 'return lapsesAfter(run, 0);',
    breaks: 'I13: lapses of before acquit a step that kills its workers',
    tests: [RULES],
  },
  {
    name: 'saga/lapses/not-recorded',
    file: BUDGET,
    from: '    ...(lapsed > 0 ? { lapsed } : {}),\n',
    to: '',
    breaks: 'I16: innocent runs are made one at a time because their workers were starved',
    tests: [RULES],
  },
  {
    name: 'saga/lapses/trials-deadly',
    file: QUARANTINE,
    from: '[...tried].filter((n) => lapsed.includes(n + 1)).length',
    to: '0',
    breaks: 'I16: a run is condemned for trials under which its workers stood still',
    tests: [RULES],
  },
  {
    name: 'saga/lapses/suspect-for-lapses',
    file: QUARANTINE,
    from: 'deathsIn(run.lost - since, lapsesAfter(run, since))',
    to: 'deathsIn(run.lost - since, 0)',
    breaks: 'I16: all runs of starved workers are tried one after the other',
    tests: [RULES],
  },
  {
    name: 'saga/lapses/lease-as-ever',
    file: LAPSES,
    from: 'return Math.min(MOST_TIMES, 2 ** Math.max(0, lapsesInARow - 1));',
    to: 'return 1;',
    breaks: 'I13: starved workers take the same runs from each other for ever',
    tests: [RULES],
  },
  {
    name: 'saga/lapses/lease-never-as-usual',
    file: LAPSES,
    from: 'if (ms >= LONG_LIFE * this.#leaseMs) this.#inARow = 0;',
    to: '',
    breaks: 'I17: the runs of a worker that was starved once wait for longer when it dies',
    tests: [RULES],
  },
  {
    name: 'saga/lapses/shorter-once-heard',
    file: 'src/saga/worker/worker-lease.ts',
    from: 'this.#leaseMs = Math.min(this.#leaseMs, leaseMs);',
    to: '',
    breaks: 'I11: a worker begins what others have taken over, since it did not hear that its lease became shorter',
    tests: ['test/saga/lease-clock.test.ts'],
  },
  {
    name: 'saga/lapses/never-said',
    file: CORE,
    from: 'lapsed: this.#lapses.ids,',
    to: 'lapsed: [],',
    breaks: 'I16: nobody hears that a worker lives whose lease lapsed',
    tests: [WORKERS],
  },
  {
    name: 'saga/lapses/signed-off-and-dead',
    file: LEASES,
    from: "freeSql(s, lost ? 'null' : false)",
    to: "freeSql(s, lost ? 'worker' : false)",
    breaks: 'I16: a worker that says that it loses its runs counts as dead',
    tests: [WORKERS],
  },
  {
    name: 'saga/lapses/before-the-stop',
    file: CORE,
    from: 'new Map(this.#lapses.keptUntil(clock.monotonic()).map((id) => [id, true]))',
    to: 'new Map<string, boolean>()',
    breaks: 'I24: runs of a lease that was over before the stop wait until it is over in the store as well',
    tests: ['test/saga/worker-stops.test.ts'],
  },
];

/**
 * Mistakes in what a worker lets begin, when it looks again, and what it finds of its own.
 */
import type { Mutant } from '../mutant.ts';

const ADMISSION = 'src/saga/engine/admission.ts';
const AHEAD = 'src/saga/decide/begin-ahead.ts';
const PACE = 'src/saga/worker/poll-pace.ts';
const ORPHANS = 'src/saga/worker/orphans.ts';
const ADMITTED = 'test/saga/admission.test.ts';
const BEGUN = 'test/saga/begins-ahead.test.ts';
const PACED = 'test/saga/poll-pace.test.ts';
const LET_GO = 'test/saga/orphan-watch.test.ts';

export const SAGA_WORKER: readonly Mutant[] = [
  {
    name: 'saga/admission/refusals-open-it',
    file: ADMISSION,
    from: "result.kind === 'failed' && !result.permanent;",
    to: "result.kind === 'failed';",
    breaks: 'I16: cards that are declined hold up everybody who pays',
    tests: [ADMITTED],
  },
  {
    name: 'saga/admission/stopped-counts',
    file: ADMISSION,
    from: "  if (result.kind === 'failed' && result.uncounted !== undefined) return;\n",
    to: '',
    breaks: 'I16: a deployment opens the breaker of a bank that is well',
    tests: [ADMITTED],
  },
  {
    name: 'saga/admission/all-at-once',
    file: ADMISSION,
    from: 'if (probe !== undefined && isThere(probe) && !(probe.run === run && probe.key === key)) return wait(PROBE_MS);',
    to: '',
    breaks: 'what comes back from an outage is met by all that waited',
    tests: [ADMITTED],
  },
  {
    name: 'saga/admission/probe-for-ever',
    file: ADMISSION,
    from: '(run.inFlight.has(key) || clock.monotonic() - sinceMs < ANNOUNCED_MS)',
    to: '(run.inFlight.has(key) || clock.monotonic() >= sinceMs)',
    breaks: 'I17: one that was let through and never began holds up all others',
    tests: [ADMITTED],
  },
  {
    name: 'saga/admission/probe-forgotten',
    file: ADMISSION,
    from: '(run.inFlight.has(key) || clock.monotonic() - sinceMs < ANNOUNCED_MS)',
    to: 'clock.monotonic() - sinceMs < ANNOUNCED_MS',
    breaks: 'a second one is let through while the first one is under way',
    tests: [ADMITTED],
  },
  {
    name: 'saga/admission/unannounced',
    file: ADMISSION,
    from: "return spent.trying ? null : { kind: 'announce' };",
    to: 'return null;',
    breaks: 'I16: what only waits beside a killer is blamed for it',
    tests: [ADMITTED],
  },
  {
    name: 'saga/admission/beside-one-that-is-alone',
    file: ADMISSION,
    from: 'Math.min(maxConcurrent(spent), ...suspects.map((each) => maxConcurrent(each.spent)))',
    to: 'maxConcurrent(spent)',
    breaks: 'I16: two suspects die together, and neither is known to be the killer',
    tests: [ADMITTED],
  },
  {
    name: 'saga/admission/suspect-never-over',
    file: ADMISSION,
    from: '        suspects = suspects.filter((each) => each !== holder);\n',
    to: '        suspects = suspects.filter((each) => each === holder || each.spent === spent);\n',
    breaks: 'I17: what was let in once counts for ever, and the others wait',
    tests: [ADMITTED],
  },
  {
    name: 'saga/ahead/any-kind',
    file: AHEAD,
    from: "kindOf(call).endsBy !== 'transaction'",
    to: "kindOf(call).endsBy === 'answer'",
    breaks: 'I6: a step that may have happened is not recorded as begun',
    tests: [BEGUN],
  },
  {
    name: 'saga/ahead/of-what-was-lost',
    file: AHEAD,
    from: 'run.lost > 0 || run.inFlight.size > 0',
    to: 'run.inFlight.size > 0',
    breaks: 'code that kills its worker is never found',
    tests: [BEGUN],
  },
  {
    name: 'saga/ahead/beside-what-is-under-way',
    file: AHEAD,
    from: 'run.lost > 0 || run.inFlight.size > 0',
    to: 'run.lost > 0',
    breaks: 'what comes of an older attempt stands in the way of the row',
    tests: [BEGUN],
  },
  {
    name: 'saga/ahead/memory-that-does-not-fit',
    file: AHEAD,
    from: ' || run.handedBack !== null || run.stale) return false;',
    to: ') return false;',
    breaks: 'I10: a run that is to be loaded anew goes on from what it is no more',
    tests: [BEGUN],
  },
  {
    name: 'saga/ahead/more-to-record',
    file: AHEAD,
    from: 'return run.hasOnlyCalled(call) && run.wantedStatus',
    to: 'return run.wantedStatus',
    breaks: 'I10: what came with the call is not recorded with it',
    tests: [BEGUN],
  },
  {
    name: 'saga/pace/sleeps-at-once',
    file: PACE,
    from: 'if (!this.#asleep || !wasAsleep)',
    to: 'if (!this.#asleep)',
    breaks: 'I17: what was written just before is found half a minute later',
    tests: [PACED],
  },
  {
    name: 'saga/pace/sleeps-unwoken',
    file: PACE,
    from: 'this.#asleep = await this.#options.setAsleep(true);',
    to: 'await this.#options.setAsleep(true);\n    this.#asleep = true;',
    breaks: 'I17: a worker that nobody can wake sleeps',
    tests: [PACED],
  },
  {
    name: 'saga/pace/past-what-is-due',
    file: PACE,
    from: 'return Math.min(untilTimer, await untilDue(), this.#options.idlePollMs);',
    to: 'return Math.min(untilTimer, this.#options.idlePollMs);',
    breaks: 'a retry that is due soon waits for half a minute',
    tests: [PACED],
  },
  {
    name: 'saga/pace/past-timers',
    file: PACE,
    from: 'return Math.min(untilTimer, pollMs(quietMs));',
    to: 'return pollMs(quietMs);',
    breaks: 'a timer of three milliseconds takes longer',
    tests: [PACED],
  },
  {
    name: 'saga/pace/woken-for-nothing',
    file: PACE,
    from: '      this.#asleep = false;\n      await this.#options.setAsleep(false);',
    to: '      this.#asleep = false;',
    breaks: 'each commit pays for a wake-up that nobody needs',
    tests: [PACED],
  },
  {
    name: 'saga/orphans/at-the-first-look',
    file: ORPHANS,
    from: 'const orphans = unknown.filter((id) => missing.has(id));',
    to: 'const orphans = unknown;',
    breaks: 'I10: a run that is just being claimed is let go, and two workers have it',
    tests: [LET_GO],
  },
  {
    name: 'saga/orphans/at-any-two-looks',
    file: ORPHANS,
    from: 'missing = new Set(unknown);',
    to: 'missing = new Set([...missing, ...unknown]);',
    breaks: 'I10: a run that is leaving memory for the second time is let go',
    tests: [LET_GO],
  },
  {
    name: 'saga/orphans/in-memory-all-the-same',
    file: ORPHANS,
    from: '.filter((id) => !isInMemory(id))',
    to: '',
    breaks: 'I10: runs that are under way are let go',
    tests: [LET_GO],
  },
  {
    name: 'saga/orphans/at-each-look',
    file: ORPHANS,
    from: '      nextLookAtMs = clock.monotonic() + LOOK_EVERY_MS;\n',
    to: '',
    breaks: 'each look of the worker asks for all that it holds',
    tests: [LET_GO],
  },
];

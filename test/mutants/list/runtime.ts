/**
 * Mistakes in how things run: waits, limits, retries, breakers, loops, starts and stops.
 */
import type { Mutant } from '../mutant.ts';

const RETRY = 'src/runtime/retry.ts';
const LOOP = 'src/runtime/loop.ts';
const LIFECYCLE = 'src/runtime/lifecycle.ts';
const SEMAPHORE = 'src/runtime/semaphore.ts';
const DEADLINES = 'src/runtime/deadlines.ts';
const THROWN = 'src/runtime/thrown.ts';

export const RUNTIME: readonly Mutant[] = [
  {
    name: 'runtime/retry/one-attempt-more',
    file: RETRY,
    from: `if (failure.attempt >= policy.attempts)`,
    to: `if (failure.attempt > policy.attempts)`,
    breaks: 'a failing call is made once more than the policy says',
    tests: ['test/runtime/retry.test.ts'],
  },
  {
    name: 'runtime/retry/permanent-again',
    file: RETRY,
    from: `if (failure.permanent) return { kind: 'give-up', because: 'permanent' };`,
    to: ``,
    breaks: 'what no retry can mend is retried',
    tests: ['test/runtime/retry.test.ts'],
  },
  {
    name: 'runtime/retry/beyond-its-time',
    file: RETRY,
    from: `delayMs: Math.min(leftMs, backoffMs(policy, failure.attempt, failure.random))`,
    to: `delayMs: backoffMs(policy, failure.attempt, failure.random)`,
    breaks: 'an attempt begins after the total time of the policy',
    tests: ['test/runtime/retry.test.ts'],
  },
  {
    name: 'runtime/retry/first-wait-grown-already',
    file: RETRY,
    from: `policy.factor ** (attempt - 1)`,
    to: `policy.factor ** attempt`,
    breaks: 'the first wait is longer than the base that was asked for',
    tests: ['test/runtime/retry.test.ts'],
  },
  {
    name: 'runtime/retry/without-cap',
    file: RETRY,
    from: `random() * Math.min(policy.capMs, policy.baseMs * policy.factor ** (attempt - 1))`,
    to: `random() * policy.baseMs * policy.factor ** (attempt - 1)`,
    breaks: 'I17: waits grow without an end',
    tests: ['test/runtime/retry.test.ts'],
  },
  {
    name: 'runtime/retry/refused-message-again',
    file: RETRY,
    from: `  'HF_MESSAGE_REFUSED',\n`,
    to: ``,
    breaks: 'a message that the broker refuses for good is published again and again',
    tests: ['test/runtime/retry.test.ts'],
  },
  {
    name: 'runtime/breaker/not-ours-opens-it',
    file: 'src/runtime/breaker.ts',
    from: `handleWhen((error) => isFailure(error))`,
    to: `handleWhen(() => true)`,
    breaks: 'I16: a refused message opens the breaker for everybody',
    tests: ['test/runtime/breaker.test.ts'],
  },
  {
    name: 'runtime/breaker/real-work-as-probe',
    file: 'src/runtime/breaker.ts',
    from: `if (probe !== undefined && this.#policy.state === CircuitState.Open && this.openForMs === 0)`,
    to: `if (probe !== undefined && this.#policy.state === CircuitState.HalfOpen && this.openForMs === 0)`,
    breaks: 'real work is the try of a destination that is perhaps still down',
    tests: ['test/runtime/breaker.test.ts'],
  },
  {
    name: 'runtime/breaker/by-the-time-of-day',
    file: 'src/runtime/breaker.ts',
    from: `this.#openedAtMs = this.#clock.monotonic();`,
    to: `this.#openedAtMs = this.#clock.now();`,
    breaks: 'I17: a clock that is set back keeps the breaker open',
    tests: ['test/runtime/breaker.test.ts'],
  },
  {
    name: 'runtime/timeout/begins-when-stopped',
    file: 'src/runtime/timeout.ts',
    from: `  signal?.throwIfAborted();\n`,
    to: ``,
    breaks: 'a call is made after the stop',
    tests: ['test/runtime/timeout.test.ts'],
  },
  {
    name: 'runtime/timeout/work-not-told',
    file: 'src/runtime/timeout.ts',
    from: `      work.abort(reason);\n`,
    to: ``,
    breaks: 'work whose time is up goes on beside its next attempt',
    tests: ['test/runtime/timeout.test.ts'],
  },
  {
    name: 'runtime/timeout/timer-left-behind',
    file: 'src/runtime/timeout.ts',
    from: `    finished.abort(FINISHED);`,
    to: `    if (signal !== undefined) finished.abort(FINISHED);`,
    breaks: 'each call leaves a timer behind',
    tests: ['test/runtime/timeout.test.ts'],
  },
  {
    name: 'runtime/semaphore/slot-more',
    file: SEMAPHORE,
    from: `taken < slots || taken < slots + more()`,
    to: `taken <= slots || taken < slots + more()`,
    breaks: 'I18: one more at once than the limit',
    tests: ['test/runtime/semaphore.test.ts'],
  },
  {
    name: 'runtime/semaphore/kept-by-a-failure',
    file: SEMAPHORE,
    from: `      try {
        return await act();
      } finally {
        release();
      }`,
    to: `      const done = await act();
      release();
      return done;`,
    breaks: 'I17: each failure takes a slot for good',
    tests: ['test/runtime/semaphore.test.ts'],
  },
  {
    name: 'runtime/loop/woken-in-a-tick',
    file: LOOP,
    from: `if (this.#woken || this.#lifecycle.run.stopping) return;`,
    to: `if (this.#lifecycle.run.stopping) return;`,
    breaks: 'I17: what is committed while a page is read waits for the next poll',
    tests: ['test/runtime/loop.test.ts'],
  },
  {
    name: 'runtime/loop/wake-forgotten-late',
    file: LOOP,
    from: `    this.#woken = false;
    try {
      const delayMs = await tick(hard.signal);
      this.#failures = 0;`,
    to: `    try {
      const delayMs = await tick(hard.signal);
      this.#woken = false;
      this.#failures = 0;`,
    breaks: 'I17: a wake-up during a tick is lost',
    tests: ['test/runtime/loop.test.ts'],
  },
  {
    name: 'runtime/loop/failures-added-up',
    file: LOOP,
    from: `      this.#failures = 0;\n      return { delayMs, failure: null };`,
    to: `      return { delayMs, failure: null };`,
    breaks: 'I17: after some failures over months each one waits for the longest time',
    tests: ['test/runtime/loop.test.ts'],
  },
  {
    name: 'runtime/loop/stopped-in-a-tick',
    file: LOOP,
    from: `      await run.ticking;
      await this.#lastTick;`,
    to: `      await run.ticking;`,
    breaks: 'I24: a stop ends before the work under way, whose connections are then closed',
    tests: ['test/runtime/loop.test.ts'],
  },
  {
    name: 'runtime/lifecycle/start-beside-a-stop',
    file: LIFECYCLE,
    from: `call.done = tail.then(() => (asked === 'start' ? begin(call) : end(hard.signal)));`,
    to: `call.done = asked === 'start' ? begin(call) : tail.then(() => end(hard.signal));`,
    breaks: 'I24: a start begins while a stop is under way',
    tests: ['test/runtime/lifecycle.test.ts'],
  },
  {
    name: 'runtime/lifecycle/used-up-again',
    file: LIFECYCLE,
    from: `    } finally {
      state = 'used up';
    }`,
    to: `    } finally {
      state = 'fresh';
    }`,
    breaks: 'I24: a start works with the closed connections of the last one',
    tests: ['test/runtime/lifecycle.test.ts'],
  },
  {
    name: 'runtime/lifecycle/second-stop-not-hard',
    file: LIFECYCLE,
    from: `      if (signal?.aborted === true) abort();\n`,
    to: ``,
    breaks: 'I24: a second stop, hard, waits for the soft one',
    tests: ['test/runtime/lifecycle.test.ts'],
  },
  {
    name: 'runtime/deadlines/early-one-late',
    file: DEADLINES,
    from: `        nap.abort();\n      }`,
    to: `      }`,
    breaks: 'a short timeout fires when a longer one before it is due',
    tests: ['test/runtime/deadlines.test.ts'],
  },
  {
    name: 'runtime/deadlines/wakes-for-each',
    file: DEADLINES,
    from: `      wakeAtMs = earlierMs;\n`,
    to: `      wakeAtMs = Infinity;\n`,
    breaks: 'each short timeout beside a long one costs a timer and an error',
    tests: ['test/runtime/deadlines.test.ts'],
  },
  {
    name: 'runtime/deadlines/cancelled-expires',
    file: DEADLINES,
    from: `if (each.pending && each.atMs <= clock.monotonic())`,
    to: `if (each.atMs <= clock.monotonic())`,
    breaks: 'a handler that has ended is timed out',
    tests: ['test/runtime/deadlines.test.ts'],
  },
  {
    name: 'runtime/deadlines/none-behind-the-first',
    file: DEADLINES,
    from: `        if (each.atMs < wakeAtMs) wakeAtMs = each.atMs;`,
    to: `        if (each.atMs > wakeAtMs || wakeAtMs === Infinity) wakeAtMs = each.atMs;`,
    breaks: 'timeouts fire when the longest of them is due',
    tests: ['test/runtime/deadlines.test.ts'],
  },
  {
    name: 'runtime/clock/long-sleep-at-once',
    file: 'src/runtime/clock.ts',
    from: `const pieceMs = Math.min(Math.max(leftMs, 0), LONGEST_TIMER_MS);`,
    to: `const pieceMs = Math.max(leftMs, 0);`,
    breaks: 'I12: a sleep of more than 25 days ends at once',
    tests: ['test/runtime/clock.test.ts'],
  },
  {
    name: 'runtime/paced/no-rest',
    file: 'src/runtime/paced.ts',
    from: `    if (restMs >= 1) await clock.sleep(restMs, signal);\n`,
    to: ``,
    breaks: 'retention takes the whole of the database for itself',
    tests: ['test/runtime/paced.test.ts'],
  },
  {
    name: 'runtime/paced/rounds-not-sooner',
    file: 'src/runtime/paced.ts',
    from: `amount > enough ? (lastMs * enough) / amount :`,
    to: `amount > enough ? lastMs :`,
    breaks: 'retention falls behind what comes in',
    tests: ['test/runtime/paced.test.ts'],
  },
  {
    name: 'runtime/scope/owner-of-who-rejects',
    file: 'src/runtime/scope.ts',
    from: `  if (owner === undefined || !(promise instanceof Promise)) return false;\n  strays.set`,
    to: `  if (owner === undefined || promise instanceof Promise) return false;\n  strays.set`,
    breaks: 'I16: a rejection that a handler left behind ends the process, with the work of all others',
    tests: ['test/runtime/scope.test.ts'],
  },
  {
    name: 'runtime/scope/context-of-the-caller',
    file: 'src/runtime/scope.ts',
    from: `  return nowhere(() => owners.run(owner, fn));`,
    to: `  return owners.run(owner, fn);`,
    breaks: 'a handler sees the tenant of whoever happened to trigger it',
    tests: ['test/runtime/scope.test.ts'],
  },
  {
    name: 'runtime/shared-answer/failure-asked-again-at-once',
    file: 'src/runtime/shared-answer.ts',
    from: `    asked.then(settled, settled);`,
    to: `    asked.then(settled, () => (answer = null));`,
    breaks: 'whoever looks at a page during an outage asks the database each time',
    tests: ['test/runtime/shared-answer.test.ts'],
  },
  {
    name: 'runtime/observers/a-logger-decides',
    file: 'src/runtime/observers.ts',
    from: `  } catch (error) {
    report(error);
  }
}

function once`,
    to: `  } catch (error) {
    report(error);
    throw error;
  }
}

function once`,
    breaks: 'I25: a logger that throws fails what it was told of',
    tests: ['test/runtime/observers.test.ts'],
  },
  {
    name: 'runtime/observers/rejection-left',
    file: 'src/runtime/observers.ts',
    from: `    if (isThenable(answer)) answer.then(undefined, report);`,
    to: `    void answer;`,
    breaks: 'I25: a hook that rejects ends the process',
    tests: ['test/runtime/observers.test.ts'],
  },
  {
    name: 'runtime/options/unknown-taken',
    file: 'src/runtime/options.ts',
    from: `    if (known.includes(key)) continue;`,
    to: `    if (known.includes(key) || didYouMean(key, known) === undefined) continue;`,
    breaks: 'an option that nobody knows is a silent default',
    tests: ['test/runtime/options.test.ts'],
  },
  {
    name: 'runtime/redact/not-in-lists',
    file: 'src/runtime/redact.ts',
    from: `new Set([...states, ...named])`,
    to: `new Set([...named])`,
    breaks: 'what is to be hidden is shown where it stands in a list',
    tests: ['test/runtime/redact.test.ts'],
  },
  {
    name: 'runtime/redact/names-with-dots',
    file: 'src/runtime/redact.ts',
    from: `  for (const state of after) all.add(state);\n`,
    to: ``,
    breaks: 'what is to be hidden is shown below a name that has a dot',
    tests: ['test/runtime/redact.test.ts'],
  },
  {
    name: 'runtime/thrown/taken-as-it-is',
    file: THROWN,
    from: `textOf(() => isLookable(error, MOST)) === 'true' ? error`,
    to: `textOf(() => isLookable(error, MOST)) !== 'false' ? error`,
    breaks: 'I17: what throws when it is looked at throws where it should be told or parked: neither happens',
    tests: ['test/runtime/thrown.test.ts'],
  },
  {
    name: 'runtime/thrown/causes-not-looked-at',
    file: THROWN,
    from: `return [cause, ...parts].every`,
    to: `return parts.every`,
    breaks: 'I17: an error with a cause that cannot be looked at is neither told nor parked',
    tests: ['test/runtime/thrown.test.ts'],
  },
  {
    name: 'runtime/thrown/name-that-is-no-text',
    file: THROWN,
    from: `(typeof name !== 'string' || typeof message !== 'string')`,
    to: `typeof message !== 'string'`,
    breaks: 'I17: an error whose name is a symbol is neither told nor parked',
    tests: ['test/runtime/thrown.test.ts'],
  },
  {
    name: 'runtime/daemon/told-once',
    file: 'src/cli/daemon/start-in-turn.ts',
    from: `    if (over.aborted) return;
`,
    to: `    if (over.aborted || waitedMs > TELL_EVERY_MS) return;
`,
    breaks: 'I17: a daemon a part of which does not start says so once, and then stands still in silence',
    tests: ['test/cli/start-in-turn.test.ts'],
  },
];

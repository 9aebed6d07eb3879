/**
 * Admission control: whether an attempt may begin now. While a circuit breaker is open its attempts wait, and one alone is let through to
 * see whether the other side works again. Of attempts that may kill their worker only a few are under way at once, and each is recorded
 * before it begins (budget.ts).
 *
 * An attempt that waits is put off in memory alone: no attempt is used up, nothing is recorded, and after a crash it asks again. Those that
 * waited come back spread over a while. Otherwise everything that an outage has held up would reach the other side at the same instant.
 */
import { createBreaker, type Breaker } from '../../runtime/breaker.ts';
import type { Clock } from '../../runtime/clock.ts';
import { maxConcurrent, isSuspect, type Spent } from '../journal/budget.ts';
import type { AttemptResult } from '../run/run-events.ts';
import type { Run } from '../run/run.ts';

export type Admitted =
  /** `ended` must be told how it ended. */
  | { readonly kind: 'begin'; readonly ended: (result: AttemptResult) => void }
  | { readonly kind: 'wait'; readonly ms: number }
  /** It may begin once it is announced in the journal. */
  | { readonly kind: 'announce' };

/** A circuit breaker of steps that is not closed, and holds attempts up. */
export interface OpenBreaker {
  readonly name: string;
  /** Since it was closed last, in milliseconds. */
  readonly openMs: number;
}

export interface Admission {
  /** `key`: under which the attempt will be in flight. */
  ask(run: Run, key: string, spent: Spent, breaker: string | null): Admitted;
  /** Those at which an attempt has asked lately: one that nobody waits at holds up nothing. */
  openBreakers(): readonly OpenBreaker[];
}

export interface AdmissionOptions {
  readonly clock: Clock;
  readonly random: () => number;
}

/** How long an open breaker stays open before it lets one attempt through, in milliseconds. */
const BREAKER_WAIT_MS = 5_000;
/** How long the others wait while one is let through, before they ask again. */
const PROBE_MS = 500;
/** Those that are held come back spread over as much. */
const SPREAD_MS = 1_000;

/** Attempts that wait ask again more often than that. */
const ASKED_FOR_MS = 30_000;

interface StepBreaker {
  readonly breaker: Breaker;
  /** When it was closed last; null: it is. */
  openedAtMs: number | null;
  /** When an attempt asked last while it was not closed. */
  askedAtMs: number;
}

/** An attempt that others have to wait for. */
interface Holder {
  readonly run: Run;
  readonly key: string;
  readonly spent: Spent;
  /** When it was let in; it is not in flight before its announcement is committed. */
  readonly sinceMs: number;
}

/** For so long an attempt that was let in may take to be announced and begin, in milliseconds. */
const ANNOUNCED_MS = 10_000;

/** The answer to nearly all attempts. */
const FREE: Admitted = { kind: 'begin', ended() {} };

export function createAdmission({ clock, random }: AdmissionOptions): Admission {
  const breakers = new Map<string, StepBreaker>();
  const probes = new Map<Breaker, Holder>();
  let suspects: Holder[] = [];

  const wait = (ms: number): Admitted => ({ kind: 'wait', ms: ms + random() * SPREAD_MS });
  const isThere = ({ run, key, sinceMs }: Holder): boolean =>
    !run.isEvicted && (run.inFlight.has(key) || clock.monotonic() - sinceMs < ANNOUNCED_MS);

  function breakerOf(name: string): StepBreaker {
    const known = breakers.get(name);
    if (known !== undefined) return known;
    const breaker = createBreaker({ name, halfOpenAfterMs: BREAKER_WAIT_MS, clock });
    const made: StepBreaker = { breaker, openedAtMs: null, askedAtMs: -Infinity };
    breaker.onStateChange((state) => {
      made.openedAtMs = state === 'closed' ? null : (made.openedAtMs ?? clock.monotonic());
    });
    breakers.set(name, made);
    return made;
  }

  /** Null: nothing is against it. */
  function limitSuspects(holder: Holder): Admitted | null {
    const { run, key, spent } = holder;
    if (!isSuspect(spent)) return null;
    suspects = suspects.filter((each) => isThere(each) && !(each.run === run && each.key === key));
    if (!spent.trying) {
      const most = Math.min(maxConcurrent(spent), ...suspects.map((each) => maxConcurrent(each.spent)));
      if (suspects.length >= most) return wait(PROBE_MS);
    }
    suspects.push(holder);
    return spent.trying ? null : { kind: 'announce' };
  }

  return {
    ask(run, key, spent, name) {
      if (name === null && !isSuspect(spent)) return FREE;
      const holder: Holder = { run, key, spent, sinceMs: clock.monotonic() };
      const named = name === null ? null : breakerOf(name);
      const breaker = named === null ? null : named.breaker;
      if (named !== null && breaker !== null && breaker.state !== 'closed') {
        named.askedAtMs = clock.monotonic();
        if (breaker.openForMs > 0) return wait(breaker.openForMs);
        const probe = probes.get(breaker);
        if (probe !== undefined && isThere(probe) && !(probe.run === run && probe.key === key)) return wait(PROBE_MS);
      }
      const limited = limitSuspects(holder);
      if (limited !== null) return limited;
      if (breaker !== null && breaker.state !== 'closed') probes.set(breaker, holder);
      const over = (): void => {
        suspects = suspects.filter((each) => each !== holder);
      };
      if (breaker === null) return { kind: 'begin', ended: over };
      return {
        kind: 'begin',
        ended(result) {
          over();
          const isProbe = probes.get(breaker) === holder;
          // While it is open only the one that was let through says anything new; the others wait until that is taken in.
          const noted = breaker.state === 'closed' || isProbe ? noteOutcome(breaker, result) : null;
          if (isProbe) void noted?.finally(() => probes.delete(breaker));
        },
      };
    },
    openBreakers() {
      const nowMs = clock.monotonic();
      return [...breakers].flatMap(([name, { openedAtMs, askedAtMs }]) =>
        openedAtMs === null || nowMs - askedAtMs > ASKED_FOR_MS ? [] : [{ name, openMs: nowMs - openedAtMs }],
      );
    },
  };
}

/** A business refusal says nothing against the destination, and what was stopped with its worker says nothing at all. */
async function noteOutcome(breaker: Breaker, result: AttemptResult): Promise<void> {
  if (result.kind === 'failed' && result.uncounted !== undefined) return;
  const failed = result.kind === 'failed' && !result.permanent;
  const outcome = () => (failed ? Promise.reject(new Error(result.error.message)) : Promise.resolve());
  await breaker.run(outcome).catch(() => {});
}

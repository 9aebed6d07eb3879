/**
 * What happens to a run of a fault-injection test, drawn from a seed and carried in its input, so that every process that has to
 * do with the run does the same: which steps are refused, fail a few times, hang, or are done and say nothing.
 */
import { z } from 'zod';
import type { Random } from './random.ts';

const fate = z.object({
  /** ok; no: refused for good; fails: so many attempts throw; hangs: so many attempts do not end, whatever their signal says. */
  kind: z.enum(['ok', 'no', 'fails', 'hangs']),
  times: z.number(),
  /** Whether an attempt that fails or hangs has its effect all the same. */
  effect: z.boolean(),
});
export type Fate = z.infer<typeof fate>;

export const STEPS = ['debit', 'charge', 'reserve', 'gift', 'tip', 'close', 'book', 'thank'] as const;
export type StepName = (typeof STEPS)[number];

export const Plan = z.object({
  n: z.number(),
  amount: z.number(),
  /** Of a sleep in the middle, in ms; 0: none. */
  pauseMs: z.number(),
  /** Waits for a signal in the middle. */
  asks: z.boolean(),
  /** Of a wait for a signal that never comes, in ms; 0: none. */
  vainMs: z.number(),
  lines: z.number(),
  fates: z.record(z.string(), fate),
  /** Of compensations, which always succeed in the end. */
  compensates: z.record(z.string(), fate),
});
export type Plan = z.infer<typeof Plan>;

const OK: Fate = { kind: 'ok', times: 0, effect: false };

export function fateOf(fates: Plan['fates'], step: string): Fate {
  return fates[step] ?? OK;
}

/** A run in which nothing goes wrong, but for what is given. */
export function plan(n: number, given: Partial<Omit<Plan, 'n'>> = {}): Plan {
  return { n, amount: 1 + (n % 7), pauseMs: 0, asks: false, vainMs: 0, lines: 0, fates: {}, compensates: {}, ...given };
}

export interface PlanOptions {
  /** Share of steps that something is wrong with; default 0.25. */
  readonly trouble?: number;
  /** Share of troubled steps that hang, which costs more than a second each; default 0. */
  readonly hangs?: number;
  /** Share of runs that wait for a signal, which somebody must then send; default 0. */
  readonly asks?: number;
}

export function drawPlan(n: number, random: Random, { trouble = 0.25, hangs = 0, asks = 0 }: PlanOptions = {}): Plan {
  const fates: Record<string, Fate> = {};
  const compensates: Record<string, Fate> = {};
  for (const step of STEPS) {
    if (random.chance(trouble)) fates[step] = drawFate(step, random, hangs);
    if (random.chance(trouble))
      compensates[step] = { kind: 'fails', times: random.whole(1, 2), effect: random.chance(0.5) };
  }
  return plan(n, {
    pauseMs: random.chance(0.3) ? random.whole(1, 60) : 0,
    vainMs: random.chance(0.2) ? random.whole(1, 40) : 0,
    asks: random.chance(asks),
    lines: random.whole(0, 2),
    fates,
    compensates,
  });
}

function drawFate(step: StepName, random: Random, hangs: number): Fate {
  const effect = random.chance(0.5);
  const local = step === 'charge' || step === 'gift' || step === 'close';
  if (local && random.chance(hangs)) return { kind: 'hangs', times: 1, effect };
  // Behind the pivot and at it a run must not be refused: it would be stuck, as it should.
  if (step !== 'thank' && step !== 'book' && random.chance(0.4)) return { kind: 'no', times: 0, effect: false };
  // Four attempts: those that fail six times give up.
  return { kind: 'fails', times: step === 'book' ? random.whole(1, 2) : random.pick([1, 2, 6]), effect };
}

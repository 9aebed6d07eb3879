/**
 * How many mistakes are tried in one process, and what may be believed of it.
 *
 * A start of vitest costs more than most of the tests that must notice a mistake. So a batch of them is tried in one worker, each in a
 * variant of the project of its own (variants.ts). All that are tried with one test file are a group, and a group ends with its control:
 * a variant of the same kind without a mistake, in the same worker, after them. What the process has become by then must let it pass.
 *
 * A batch can only say "noticed". Whatever else comes of it, a test that passes, hangs, does not load or dies with its process, is found
 * out again by the mistake alone in a process of its own (workspace.ts).
 */
import type { Mutant } from './mutant.ts';

/** All that are tried with one test file in one batch. */
export interface Group {
  readonly test: string;
  readonly mutants: readonly Mutant[];
}

export type Batch = readonly Group[];

/** What became of one test file in one variant. Of a batch only a test that failed says something; see above. */
export type Trial = 'noticed' | 'passed' | 'unclear';

/** What a batch has reported of one of its groups. */
export interface GroupReport {
  readonly group: Group;
  /** Of each mutant that was tried, by its name. */
  readonly trials: ReadonlyMap<string, Trial>;
  /** `null`: the batch ended before. */
  readonly control: Trial | null;
}

/** How a batch ended. */
export interface BatchReport {
  readonly groups: readonly GroupReport[];
  /** The mutant during which it hung or its process died. */
  readonly stoppedAt: Mutant | null;
  /** It was ended because there is no more time for any. */
  readonly outOfTime: boolean;
}

/** What is known after a batch. */
export interface Verdicts {
  /** Noticed, by a test that passes without the mistake. */
  readonly noticed: readonly Mutant[];
  /** To be tried alone. */
  readonly alone: readonly Mutant[];
  /** To be tried in a further batch, since this one did not come so far. */
  readonly again: readonly Group[];
}

/** Where a batch becomes too large: what all of its variants have loaded stays in memory. */
const LARGEST = 40;

/** Each with the first of its test files: where that one does not notice it, it is tried alone, with all of them. */
export function groupsOf(mutants: readonly Mutant[]): readonly Group[] {
  const byTest = new Map<string, Mutant[]>();
  for (const mutant of mutants) {
    const [test = ''] = mutant.tests;
    byTest.set(test, [...(byTest.get(test) ?? []), mutant]);
  }
  return [...byTest].map(([test, those]) => ({ test, mutants: those }));
}

/** Batches of about the same size, at least one for each job. Of two that have mutants for one test file each has its control. */
export function batchesOf(groups: readonly Group[], jobs: number): readonly Batch[] {
  const count = groups.reduce((sum, { mutants }) => sum + mutants.length, 0);
  const size = Math.min(LARGEST, Math.ceil(count / Math.max(1, jobs)));
  const batches: Group[][] = [];
  let room = 0;
  for (const { test, mutants } of groups)
    for (let at = 0; at < mutants.length;) {
      if (room === 0) {
        batches.push([]);
        room = size;
      }
      const part = mutants.slice(at, at + room);
      batches.at(-1)?.push({ test, mutants: part });
      at += part.length;
      room -= part.length;
    }
  return batches;
}

/** What may be believed of a batch. */
export function verdictsOf({ groups, stoppedAt, outOfTime }: BatchReport): Verdicts {
  const noticed: Mutant[] = [];
  const alone: Mutant[] = stoppedAt === null || outOfTime ? [] : [stoppedAt];
  const again: Group[] = [];
  for (const { group, trials, control } of groups) {
    if (control === null) {
      // What has been noticed had no control: it is tried once more. But what stopped this batch would stop the next one.
      const rest = outOfTime ? group.mutants : group.mutants.filter((mutant) => mutant !== stoppedAt);
      if (stoppedAt === null && !outOfTime) alone.push(...rest);
      else if (rest.length > 0) again.push({ test: group.test, mutants: rest });
      continue;
    }
    for (const mutant of group.mutants) {
      const believed = control === 'passed' && trials.get(mutant.name) === 'noticed';
      (believed ? noticed : alone).push(mutant);
    }
  }
  return { noticed, alone, again };
}

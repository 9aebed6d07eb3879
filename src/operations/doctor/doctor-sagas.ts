/**
 * The doctor's look at the sagas: runs that nobody can run, stuck runs, and workers that died unnoticed.
 */
import type { Check, CheckFinding } from './finding.ts';
import { describeLimits } from '../sagas/saga-growth.ts';
import { sagaHealth, type SagaHealth } from '../sagas/saga-status.ts';

export const checkRuns: Check = async (database) => judgeSagas(await sagaHealth(database));

/** A live worker takes dead ones over within a second or so of their lease's end. */
const UNNOTICED = 'No live worker has taken its runs over';

/** Pure. */
export function judgeSagas({ unrunnable, stuck, workers, childless, grown }: SagaHealth): readonly CheckFinding[] {
  const findings: CheckFinding[] = unrunnable.map(({ saga, version, runs, atLeast, oldestMs }) => ({
    level: 'error',
    check: 'sagas.nobody',
    what: `${atLeast ? 'More than ' : ''}${runs} due ${runs === 1 ? 'run' : 'runs'} of ${saga}@${version} wait${runs === 1 ? 's' : ''} for a worker, for up to ${seconds(oldestMs)}, and no live worker has that saga in that version.`,
    advice: `Start a worker that has ${saga}@${version}; keep old versions registered until their runs have ended.`,
  }));
  for (const { saga, child, runs } of childless) {
    findings.push({
      level: 'error',
      check: 'sagas.childless',
      what: `Runs of ${saga} have started ${runs} ${runs === 1 ? 'child' : 'children'} of ${child} that ${runs === 1 ? 'has' : 'have'} not ended, and no live worker has that saga in that version: they neither go on nor are compensated.`,
      advice: `Start a worker that has ${child}; keep old versions of children registered until they have ended.`,
    });
  }
  for (const { saga, version, runs, atLeast, percent, run, limits } of grown) {
    findings.push({
      level: 'warn',
      check: 'sagas.journal',
      what: `${atLeast ? 'More than ' : ''}${runs} ${runs === 1 ? 'run' : 'runs'} of ${saga}@${version} ${runs === 1 ? 'has' : 'have'} used up half of what a journal may hold (${describeLimits(limits)}) or more; the fullest, ${run}, ${percent} percent. A full one makes no more calls.`,
      advice:
        'Start the workers with a higher sagas.maxEvents or sagas.maxJournalBytes; then split long loops into runs that start their successor, or give pieces to children.',
    });
  }
  for (const { saga, runs, oldestMs } of stuck) {
    findings.push({
      level: 'warn',
      check: 'sagas.stuck',
      what: `${runs} ${runs === 1 ? 'run' : 'runs'} of ${saga} ${runs === 1 ? 'is' : 'are'} stuck, for up to ${seconds(oldestMs)}.`,
      advice: `holdfast saga ls --stuck --saga ${saga}; then holdfast saga show ID says what to do.`,
      repair: `holdfast saga ls --stuck --saga ${saga}`,
    });
  }
  for (const [offer, names] of twoCodes(workers)) {
    findings.push({
      level: 'warn',
      check: 'sagas.two-codes',
      what: `Workers offer ${offer} with different code: ${names.join(' and ')}. A run that fits only one of them is left to that one.`,
      advice: 'End the deployment that is under way; changed code under which old runs go on wants a new version.',
    });
  }
  for (const { name, live, runs } of workers) {
    if (live) continue;
    findings.push({
      level: runs > 0 ? 'error' : 'note',
      check: 'sagas.expired-worker',
      what: `The lease of worker ${name} is over, and it was not stopped in order. ${runs > 0 ? `${UNNOTICED}: ${runs}.` : 'It had no runs.'}`,
      advice: 'See why it ended; any worker that runs takes over what it left.',
    });
  }
  return findings;
}

/** What live workers offer under one name with another fingerprint, and one worker for each of these. */
function twoCodes(workers: SagaHealth['workers']): ReadonlyMap<string, readonly string[]> {
  const byOffer = new Map<string, Map<string, string>>();
  for (const { name, live, codes } of workers) {
    if (!live) continue;
    for (const [offer, code] of Object.entries(codes)) {
      const found = byOffer.get(offer) ?? new Map<string, string>();
      byOffer.set(offer, found.set(code, found.get(code) ?? name));
    }
  }
  return new Map(
    [...byOffer].filter(([, names]) => names.size > 1).map(([offer, names]) => [offer, [...names.values()]]),
  );
}

function seconds(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1_000)} s` : `${Math.round(ms / 60_000)} min`;
}

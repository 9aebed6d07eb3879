/** An attempt of a step `pay`, as a judge of the simulation is told of it, for tests of the judges. */
import type { SeenAttempt } from './workload/steps.ts';

export const RUN = '00000000-0000-7000-8000-000000000001';
export const called = { t: 'called', call: 'pay', kind: 'step', step: 'pay', undoable: true } as const;

export const attempt = (what: SeenAttempt['what']): SeenAttempt => ({
  runId: RUN,
  call: 'pay',
  kind: 'step',
  what,
  token: 1,
  nth: 1,
  by: { alive: true },
});

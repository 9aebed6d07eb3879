/**
 * A process that works on a job, to be killed. Started by startChild.
 */
import { workOff } from '../../../src/operations/jobs/job-runner.ts';
import { openDatabase } from '../../../src/postgres/database.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { settings, tell } from './child-side.ts';
import { crashPoints, type CrashPlan } from './crash-points.ts';

export interface JobChildSettings {
  readonly url: string;
  readonly job: string;
  readonly crash: CrashPlan | null;
  readonly leaseMs: number;
  /** Has it end after this many commits, with the job left open; null: when it is done. */
  readonly commits: number | null;
}

const { url, job, crash, leaseMs, commits } = settings() as JobChildSettings;
const database = openDatabase({ url, max: 4 });
const crashPoint = crashPoints(crash, (point) => tell('point', { point }));
const stop = new AbortController();
let made = 0;
const options = {
  signal: stop.signal,
  onProgress: () => {
    made += 1;
    if (commits !== null && made >= commits) stop.abort();
  },
};
const { state } = await workOff(database, job, options, {
  clock: systemClock,
  random: Math.random,
  crashPoint,
  leaseMs,
});
tell('ended', { state });
await database.close();
process.exit(0);

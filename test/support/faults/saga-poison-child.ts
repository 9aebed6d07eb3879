/**
 * A worker in a process of its own that runs sagas whose code kills it. Started by startChild.
 */
import { openDatabase } from '../../../src/postgres/database.ts';
import { createWorker } from '../../../src/saga/worker/worker.ts';
import { asked, settings, stderrLogger, tell } from './child-side.ts';
import { FAULTS_WORKER } from './saga-parts.ts';
import { poisonousSaga } from './saga-poison.ts';

export interface SagaPoisonChildSettings {
  readonly url: string;
  /** Of the code: it bears what killed the one before. */
  readonly mended: boolean;
}

const { url, mended } = settings() as SagaPoisonChildSettings;
const database = openDatabase({ url, max: 4 });
const worker = createWorker({
  ...FAULTS_WORKER,
  database,
  sagas: [poisonousSaga(() => mended || process.kill(process.pid, 'SIGKILL'))],
  log: stderrLogger,
});
await worker.start();
tell('started');
await asked();
await worker.stop();
await database.close();
tell('stopped');
process.exit(0);

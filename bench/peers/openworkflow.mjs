/**
 * openworkflow. Its result() asks the database once a second, and nothing sets that, so a run would be known up to a second late.
 * Instead its backend is wrapped, in this process, and a run counts as known the moment its last commit has returned; no user can know
 * it sooner. `--set wait=result` uses result(). README.md says why each setting is what it is.
 */
import { OpenWorkflow } from 'openworkflow';
import { BackendPostgres } from 'openworkflow/postgres';
import postgres from 'postgres';
import { check, threeSteps } from './workflow.mjs';

/** Every worker that finds nothing to do waits 50 to 100 ms, so for one run at a time it takes many to have one that looks soon. */
export function settingsFor(inflight) {
  const workers = inflight === 1 ? { workers: 64, concurrency: 1 } : { workers: 1, concurrency: inflight };
  return { pool: 20, ...workers, wait: 'commit' };
}

export async function open({ url, settings }) {
  await (await BackendPostgres.connect(url)).stop();
  const pool = postgres(url, { max: settings.pool, transform: { column: { from: postgres.toCamel } } });
  const finished = new Map();
  const backend = tellWhenComplete(BackendPostgres.fromPool(pool), finished);
  const library = new OpenWorkflow({ backend });
  const workflow = library.defineWorkflow({ name: 'three-steps' }, ({ input, step }) =>
    threeSteps((name, fn) => step.run({ name }, fn), input.n),
  );
  const workers = Array.from({ length: settings.workers }, () =>
    library.newWorker({ concurrency: settings.concurrency }),
  );
  await Promise.all(workers.map((worker) => worker.start()));

  /** A run may be complete before run() has returned its id, so the waiting goes by the number in its input. */
  const byCommit = async (n) => {
    const output = new Promise((resolve) => finished.set(n, resolve));
    await workflow.run({ n });
    return output;
  };
  const byResult = async (n) => (await workflow.run({ n })).result();
  const start = settings.wait === 'commit' ? byCommit : byResult;

  return {
    async run(n) {
      check(await start(n), n);
    },
    async close() {
      await Promise.all(workers.map((worker) => worker.stop()));
      await pool.end();
    },
  };
}

function tellWhenComplete(backend, finished) {
  const complete = backend.completeWorkflowRun.bind(backend);
  backend.completeWorkflowRun = async (params) => {
    const row = await complete(params);
    finished.get(row.input.n)?.(row.output);
    finished.delete(row.input.n);
    return row;
  };
  return backend;
}

/**
 * absurd. Its awaitTaskResult() asks the database after 50 ms and then ever more seldom, so a run would be known late. Instead the hook
 * around a task's execution tells, in this process, when the commit that completes it has returned; no user can know it sooner.
 * `--set wait=result` uses awaitTaskResult(). README.md says why each setting is what it is, and where the SQL comes from.
 */
import { readFileSync } from 'node:fs';
import { Absurd } from 'absurd-sdk';
import pg from 'pg';
import { ABSURD_SQL } from './absurd-sql.mjs';
import { check, threeSteps } from './workflow.mjs';

export function settingsFor(inflight) {
  const worker =
    inflight === 1
      ? { concurrency: 1, pollSeconds: 0.001 }
      : { concurrency: Math.max(64, inflight), pollSeconds: 0.01 };
  return { pool: 20, ...worker, wait: 'commit' };
}

export async function open({ url, settings }) {
  const pool = new pg.Pool({ connectionString: url, max: settings.pool });
  await pool.query(readFileSync(ABSURD_SQL, 'utf8'));
  const finished = new Map();
  const quiet = { ...console, log() {}, info() {} };
  const app = new Absurd({
    db: pool,
    log: quiet,
    hooks: {
      async wrapTaskExecution(context, execute) {
        await execute();
        finished.get(context.task.params.n)?.();
      },
    },
  });
  await app.createQueue();
  const results = new Map();
  app.registerTask({ name: 'three-steps' }, async ({ n }, context) => {
    const result = await threeSteps((name, fn) => context.step(name, fn), n);
    results.set(n, result);
    return result;
  });
  const worker = await app.startWorker({ concurrency: settings.concurrency, pollInterval: settings.pollSeconds });

  /** A task may be complete before spawn() has returned its id, so the waiting goes by the number in its parameters. */
  const byCommit = async (n) => {
    const known = new Promise((resolve) => finished.set(n, resolve));
    await app.spawn('three-steps', { n });
    await known;
    finished.delete(n);
    return results.get(n);
  };
  const byResult = async (n) => {
    const { taskID } = await app.spawn('three-steps', { n });
    return (await app.awaitTaskResult(taskID)).result;
  };
  const start = settings.wait === 'commit' ? byCommit : byResult;

  return {
    async run(n) {
      const result = await start(n);
      results.delete(n);
      check(result, n);
    },
    async close() {
      await worker.close();
      await pool.end();
    },
  };
}

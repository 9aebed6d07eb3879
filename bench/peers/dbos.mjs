/**
 * DBOS Transact. The workflow is called as a function, in the process that executes it: DBOS's shortest way, without a queue, and the
 * result comes from memory after its commit. README.md says why each setting is what it is.
 */
import { DBOS } from '@dbos-inc/dbos-sdk';
import { check, threeSteps } from './workflow.mjs';

export function settingsFor() {
  return { pool: 20 };
}

export async function open({ url, settings }) {
  DBOS.setConfig({
    name: 'peer',
    systemDatabaseUrl: url,
    systemDatabasePoolSize: settings.pool,
    logLevel: 'error',
  });
  const workflow = DBOS.registerWorkflow((n) => threeSteps((name, fn) => DBOS.runStep(fn, { name }), n), {
    name: 'three-steps',
  });
  await DBOS.launch();
  return {
    async run(n) {
      check(await workflow(n), n);
    },
    close: () => DBOS.shutdown(),
  };
}

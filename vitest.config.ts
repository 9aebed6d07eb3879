import { defineConfig } from 'vitest/config';
import { testSuites } from './test/support/suites.ts';

const { unit, integration, faults } = testSuites();
const globalSetup = ['test/support/global-setup.ts'];

// Two workers, because most test files drive real servers and often further processes. No timing is asserted anywhere;
// the timeouts only end what hangs, on a machine that is busy with other things as well.
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
    projects: [
      // One module graph for all files of a worker: a third of the time of these tests would go into loading the same modules again,
      // and into running them cold. So a file leaves nothing behind that the next one could meet: listeners, variables, servers.
      { extends: true, test: { name: 'unit', include: [...unit], isolate: false } },
      { extends: true, test: { name: 'integration', include: [...integration], globalSetup, isolate: false } },
      { extends: true, test: { name: 'faults', include: [...faults], globalSetup } },
    ],
  },
});

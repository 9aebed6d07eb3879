import { defineConfig } from 'vitest/config';

// Two workers, because every test file drives real servers and often further processes. No timing is asserted anywhere;
// the timeouts only end what hangs, on a machine that is busy with other things as well.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
  },
});

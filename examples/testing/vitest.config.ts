/** Of a project of yours: all but `resolve`, which is for within this repository. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['node-runner.test.ts'],
    setupFiles: ['./setup.ts'],
    globalSetup: ['./server.ts'],
  },
  resolve: {
    alias: [
      { find: /^holdfast$/, replacement: source('index.ts') },
      { find: /^holdfast\/testing$/, replacement: source('testing/index.ts') },
      { find: /^holdfast\/vitest$/, replacement: source('doors/vitest.ts') },
    ],
  },
});

/**
 * Set up before each test file of a batch: the rest of a file is passed over once a test of it has failed. Vitest's own `bail` would end
 * the whole run.
 */
import { beforeEach } from 'vitest';

/** Loaded anew for each file. */
let isFound = false;

beforeEach((context) => {
  if (isFound) context.skip();
  context.onTestFailed(() => void (isFound = true));
});

/** `holdfast/vitest`: the matchers of `holdfast/testing`, added to vitest's `expect` and declared to it. For a setup file. */
import { expect } from 'vitest';
import { HoldfastError } from '../errors.ts';
import { holdfastMatchers, type HoldfastMatchers } from '../testing/matchers/matchers.ts';

declare module 'vitest' {
  // The parameter is vitest's, and has to be called as there.
  interface Matchers<T> extends HoldfastMatchers {}
}

if (typeof expect?.extend !== 'function')
  throw new HoldfastError('HF_CONFIG', "holdfast/vitest has found no `expect` of vitest's.", {
    advice: 'Run npm install --save-dev vitest; with another runner use holdfastMatchers, or assertSent and its kin.',
  });
expect.extend(holdfastMatchers);

export type { HoldfastMatchers };

/**
 * The duties of src/inbox/window/window.ts as tests. test/inbox/window.test.ts runs them against every window.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DedupWindow } from '../../src/inbox/window/window.ts';

export interface WindowHarness {
  /** A window that keeps ids for an hour or longer. */
  make(): DedupWindow;
  dispose?(): Promise<void>;
}

export function dedupWindowConformance(name: string, open: () => Promise<WindowHarness>): void {
  describe(`${name} as a window`, () => {
    let harness: WindowHarness;
    let window: DedupWindow;
    beforeAll(async () => {
      harness = await open();
      window = harness.make();
    });
    afterAll(async () => {
      await window.close();
      await harness.dispose?.();
    });

    it('has seen what was marked, and nothing else', async () => {
      const id = randomUUID();
      expect(await window.seen('shipping', id)).toBe(false);
      await window.mark('shipping', id);
      expect(await window.seen('shipping', id)).toBe(true);
      expect(await window.seen('shipping', randomUUID())).toBe(false);
    });

    it('keeps consumers apart', async () => {
      const id = randomUUID();
      await window.mark('shipping', id);
      expect(await window.seen('billing', id)).toBe(false);
    });

    it('takes a mark twice', async () => {
      const id = randomUUID();
      await window.mark('shipping', id);
      await window.mark('shipping', id);
      expect(await window.seen('shipping', id)).toBe(true);
    });

    it('closes twice', async () => {
      const other = harness.make();
      await other.close();
      await other.close();
    });
  });
}

/** What tests put in place of time and chance reaches what is made; what has no such seam refuses it. */
import { expect, it } from 'vitest';
import { createAtMostOnceSender, createMemoryWindow, createMemoryTransport } from '../../src/index.ts';
import { createManualClock, withSeams } from '../../src/testing/index.ts';

it('puts a clock in place', async () => {
  const clock = createManualClock();
  const window = createMemoryWindow(withSeams({ ttl: '1h' } as const, { clock }));
  await window.mark('billing', 'a');
  expect(await window.seen('billing', 'a')).toBe(true);
  await clock.advance('2h');
  expect(await window.seen('billing', 'a')).toBe(false);
});

it('is refused where there is no such seam, and for what is none', () => {
  const options = { transport: createMemoryTransport(), to: 'orders' };
  const unknown = expect.objectContaining({ code: 'HF_OPTION_UNKNOWN' });
  expect(() => createAtMostOnceSender(withSeams(options, { random: () => 0 }))).toThrow(unknown);
  expect(() => withSeams(options, { tock: 1 } as never)).toThrow(unknown);
});

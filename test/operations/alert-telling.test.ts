/** How often a webhook is called that does not take a notice, and for how long: without a database, on a clock that a test moves. */
import { describe, expect, it } from 'vitest';
import { createMemoryNotices } from '../../src/operations/alerts/notice-queue.ts';
import { testNotice } from '../../src/operations/alerts/notice.ts';
import { tellDue, type Teller } from '../../src/operations/alerts/tell.ts';
import { readSecret } from '../../src/message/webhook-signature.ts';
import { noCrash } from '../../src/runtime/crash-point.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { SECRET, useWebhookReceiver } from './webhook-receiver.ts';

const receiver = useWebhookReceiver();

/** One notice that waits to be told. `random` 1: the longest waits. */
function telling(random: number) {
  const clock = createManualClock();
  const queue = createMemoryNotices(clock);
  queue.add(testNotice('me', clock.now()));
  const teller: Teller = {
    webhook: { url: new URL(receiver.url), keys: [readSecret(SECRET, 'secret')], timeoutMs: 60_000 },
    hook: () => {},
    log: silentLogger,
    clock,
    random: () => random,
    crashPoint: noCrash,
    signal: new AbortController().signal,
  };
  return { clock, tell: () => tellDue(queue, teller), waits: async () => (await queue.claim(9, 0)).length };
}

describe('a webhook that does not take a notice', () => {
  it('is called again when it says that it will take it', async () => {
    receiver.answer = () => ({ status: 429, headers: { 'retry-after': '30' } });
    const { clock, tell } = telling(0);
    await tell();
    await clock.advance('29s');
    await tell();
    expect(receiver.received).toHaveLength(1);
    await clock.advance('1s');
    receiver.answer = () => ({ status: 204 });
    await tell();
    expect(receiver.received).toHaveLength(2);
  });

  it.each([400, 500])('with %i is called for a day, and then given up', async (status) => {
    receiver.answer = () => ({ status });
    const { clock, tell, waits } = telling(1);
    await tell();
    await clock.advance('23h');
    await tell();
    expect(receiver.received).toHaveLength(2);
    await clock.advance('61m');
    await tell();
    expect(receiver.received).toHaveLength(3);
    await clock.advance('10h');
    expect(await waits()).toBe(0);
  });
});

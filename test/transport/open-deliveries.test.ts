/** What a receiver has handed out and not taken back yet: waited for by a soft stop, taken away step by step by a hard one. */
import { describe, expect, it } from 'vitest';
import { drainedOrForced, OpenDeliveries } from '../../src/transport/open-deliveries.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function setup() {
  const open = new OpenDeliveries();
  const told: string[] = [];
  const hold = (name: string) => {
    const controller = new AbortController();
    controller.signal.addEventListener('abort', () => told.push(`${name} aborted`));
    const delivery = { controller, abandon: () => void told.push(`${name} abandoned`) };
    open.hold(delivery);
    return delivery;
  };
  const hard = new AbortController();
  const closed = new AbortController();
  let over = false;
  const stop = () => drainedOrForced(open, hard.signal, closed.signal).then(() => (over = true));
  return { open, told, hold, hard, closed, stop, isOver: () => over };
}

describe('deliveries without a verdict', () => {
  it('are waited for by a soft stop, which tells them nothing', async () => {
    const { open, told, hold, stop, isOver } = setup();
    const [one, other] = [hold('one'), hold('other')];
    open.drain();
    const stopped = stop();
    expect(open.letGo(one)).toBe(true);
    await turn();
    expect([isOver(), open.size]).toEqual([false, 1]);
    expect([open.letGo(other), open.letGo(other)]).toEqual([true, false]);
    await stopped;
    expect(told).toEqual([]);
  });

  it('are told of a hard stop at once, and let go of what has no verdict a moment later', async () => {
    const { open, told, hold, hard, stop } = setup();
    const quick = hold('quick');
    hold('slow');
    quick.controller.signal.addEventListener('abort', () => open.letGo(quick));
    open.drain();
    const stopped = stop();
    hard.abort();
    await turn();
    expect(told).toEqual(['quick aborted', 'slow aborted']);
    await stopped;
    expect(told).toEqual(['quick aborted', 'slow aborted', 'slow abandoned']);
  });

  it('are none when nothing was handed out: a stop is over at once', async () => {
    const { open, stop } = setup();
    open.drain();
    expect(open.drained.aborted).toBe(true);
    await stop();
  });

  it('that come to their end before anybody drains keep nothing from being handed out', () => {
    const { open, hold } = setup();
    open.letGo(hold('one'));
    expect(open.drained.aborted).toBe(false);
  });
});

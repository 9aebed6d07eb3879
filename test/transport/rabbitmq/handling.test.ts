/** What handlers have of one channel: how each of their messages comes to its end. */
import { describe, expect, it } from 'vitest';
import type { Delivery, Verdict } from '../../../src/transport/port.ts';
import { OpenDeliveries } from '../../../src/transport/open-deliveries.ts';
import { Handling } from '../../../src/transport/rabbitmq/handling.ts';

function setup() {
  const handedOut = new OpenDeliveries();
  const begun: { readonly delivery: Delivery; readonly say: (verdict: Verdict) => void; fail(error: Error): void }[] =
    [];
  const errors: string[] = [];
  const handle = (delivery: Delivery): Promise<Verdict> =>
    new Promise((resolve, reject) => void begun.push({ delivery, say: resolve, fail: reject }));
  const make = (): Handling => new Handling({ handle, handedOut, onError: ({ message }) => void errors.push(message) });
  return { handedOut, begun, errors, make };
}

describe('what handlers have of a channel', () => {
  it('ends with the verdict of the handler', async () => {
    const { handedOut, begun, make } = setup();
    const verdict = make().verdictOn({ wire: '{}', redeliveries: 2 });
    expect([begun[0]!.delivery.wire, begun[0]!.delivery.redeliveries, handedOut.size]).toEqual(['{}', 2, 1]);
    begun[0]!.say({ kind: 'done' });
    expect([await verdict, handedOut.size]).toEqual([{ kind: 'done' }, 0]);
  });

  it('comes later when the handler has thrown', async () => {
    const { begun, errors, make } = setup();
    const verdict = make().verdictOn({ wire: '{}', redeliveries: 0 });
    begun[0]!.fail(new Error('no'));
    expect([await verdict, errors]).toEqual([{ kind: 'later', delayMs: 1000 }, ['no']]);
  });

  it('ends with its channel, and not with another: handlers are told, and heard no more', async () => {
    const { handedOut, begun, make } = setup();
    const [one, other] = [make(), make()];
    const lost = [one.verdictOn({ wire: '1', redeliveries: 0 }), one.verdictOn({ wire: '2', redeliveries: 0 })];
    const kept = other.verdictOn({ wire: '3', redeliveries: 0 });
    const reason = new Error('the channel was closed');
    one.loseAll(reason);
    expect(await Promise.all(lost)).toEqual(['none', 'none']);
    expect(begun.map(({ delivery }) => delivery.signal.reason as unknown)).toEqual([reason, reason, undefined]);
    begun[0]!.say({ kind: 'done' });
    expect(handedOut.size).toBe(1);
    begun[2]!.say({ kind: 'done' });
    expect([await kept, handedOut.size]).toEqual([{ kind: 'done' }, 0]);
  });

  it('is let go of by a stop that waits no longer', async () => {
    const { handedOut, make } = setup();
    const verdicts = [1, 2, 3].map((n) => make().verdictOn({ wire: String(n), redeliveries: 0 }));
    handedOut.drain();
    handedOut.abandonAll();
    expect(await Promise.all(verdicts)).toEqual(['none', 'none', 'none']);
    expect(handedOut.drained.aborted).toBe(true);
  });
});

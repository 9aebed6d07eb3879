/** Signals of deliveries, made when somebody asks for them, and the wait for one of several. */
import { describe, expect, it } from 'vitest';
import { AbortableDelivery, LazyAbort } from '../../src/transport/lazy-abort.ts';
import { settledOrAborted } from '../../src/transport/shared.ts';

describe('the signal of a delivery', () => {
  it('is one and the same, and aborts with the reason', () => {
    const controller = new LazyAbort();
    const delivery = new AbortableDelivery('{}', 2, controller);
    const { signal } = delivery;
    expect([delivery.signal === signal, signal.aborted]).toEqual([true, false]);
    const reason = new Error('over');
    controller.abort(reason);
    expect([signal.aborted, signal.reason]).toEqual([true, reason]);
  });

  it('is aborted for whoever asks for it afterwards', () => {
    const controller = new LazyAbort();
    const reason = new Error('over');
    controller.abort(reason);
    expect(new AbortableDelivery('{}', 0, controller).signal.reason).toBe(reason);
  });
});

describe('settledOrAborted', () => {
  const pending = (): Promise<never> => new Promise(() => {});

  it('rejects with the reason of the signal that aborts, whichever it is', async () => {
    const [one, other] = [new AbortController(), new AbortController()];
    const waiting = settledOrAborted(pending(), one.signal, other.signal);
    other.abort('why');
    await expect(waiting).rejects.toThrow('why');
    await expect(settledOrAborted(pending(), one.signal, other.signal)).rejects.toThrow('why');
  });

  it('takes work that has settled before an abort that came before', async () => {
    const aborted = AbortSignal.abort(new Error('too late'));
    expect(await settledOrAborted(Promise.resolve('done'), aborted)).toBe('done');
    await expect(settledOrAborted(Promise.reject(new Error('failed')), aborted)).rejects.toThrow('failed');
  });

  it('listens to nothing any more once it has settled', async () => {
    const controller = new AbortController();
    let listening = 0;
    const { signal } = controller;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listening += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listening -= 1;
      remove(...args);
    };
    await settledOrAborted(Promise.resolve(1), signal);
    await settledOrAborted(Promise.reject(new Error('failed')), signal).catch(() => {});
    const waiting = settledOrAborted(pending(), signal);
    expect(listening).toBe(1);
    controller.abort();
    await waiting.catch(() => {});
    expect(listening).toBe(0);
  });
});

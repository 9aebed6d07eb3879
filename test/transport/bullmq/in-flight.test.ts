import { expect, it } from 'vitest';
import { InFlightDeliveries } from '../../../src/transport/bullmq/in-flight.ts';

it('loses a delivery whose job the broker has given to somebody else', () => {
  const inFlight = new InFlightDeliveries(1_000);
  const lost = inFlight.add('queue:1');
  const kept = inFlight.add('queue:2');
  inFlight.lose('queue', ['1', 'unknown']);
  expect(lost.lost).toBe(true);
  expect(lost.controller.signal.aborted).toBe(true);
  expect(kept.lost).toBe(false);
});

it('loses what was not renewed in time', () => {
  const inFlight = new InFlightDeliveries(1_000);
  const expired = inFlight.add('queue:1');
  const renewed = inFlight.add('queue:2');
  expired.claimedUntilMs = renewed.claimedUntilMs = performance.now() - 1;
  inFlight.renew('queue', ['2']);
  inFlight.loseExpired();
  expect([expired.lost, renewed.lost]).toEqual([true, false]);
});

it('is drained when it is to be, and nothing is in flight', () => {
  const inFlight = new InFlightDeliveries(1_000);
  inFlight.remove('queue:1', inFlight.add('queue:1'));
  expect(inFlight.drained.aborted).toBe(false);
  const last = inFlight.add('queue:2');
  inFlight.drain();
  expect(inFlight.drained.aborted).toBe(false);
  inFlight.remove('queue:2', last);
  expect(inFlight.drained.aborted).toBe(true);
});

it('abandons everything after a hard stop', () => {
  const inFlight = new InFlightDeliveries(1_000);
  const delivery = inFlight.add('queue:1');
  let abandoned = false;
  delivery.abandon = () => {
    abandoned = true;
  };
  inFlight.abortAll('the receiver is stopped');
  expect(delivery.lost).toBe(false);
  inFlight.abandonAll();
  expect([abandoned, delivery.lost]).toEqual([true, true]);
});

it('keeps hold of a delivery whose job is handed out again meanwhile: it is lost, waited for, and can be abandoned', () => {
  const inFlight = new InFlightDeliveries(1_000);
  const first = inFlight.add('queue:1');
  const again = inFlight.add('queue:1');
  expect([first.lost, first.controller.signal.aborted, again.lost]).toEqual([true, true, false]);
  inFlight.drain();
  const abandoned: string[] = [];
  first.abandon = () => void abandoned.push('first');
  again.abandon = () => void abandoned.push('again');
  inFlight.abandonAll();
  expect(abandoned).toEqual(['first', 'again']);
  inFlight.remove('queue:1', first);
  expect(inFlight.drained.aborted).toBe(false);
  // What is said of the job is about the one that was handed out last.
  again.lost = false;
  inFlight.lose('queue', ['1']);
  expect(again.lost).toBe(true);
  inFlight.remove('queue:1', again);
  expect(inFlight.drained.aborted).toBe(true);
});

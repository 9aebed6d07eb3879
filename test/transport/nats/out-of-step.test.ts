/**
 * Consumers of NATS that are out of step with their stream: found, told of, and made anew, so that nothing is kept back for good (I1, I17).
 *
 * A server of a cluster that dies at the wrong moment brings it about, now and then. Here a disk does, of which a part is put back.
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNats, type NatsServer } from '../../../src/servers/nats.ts';
import { numbers, recorder } from '../../../src/testing/transport/kit.ts';
import { type ConsumerStand, isAtOdds, isOutOfStep } from '../../../src/transport/nats/out-of-step.ts';
import { eventually } from '../../support/eventually.ts';
import { managerOf, openLab } from './lab.ts';

const stand = (rest: Partial<ConsumerStand>): ConsumerStand => ({
  created: 'today',
  delivered: 10,
  floor: 10,
  unacknowledged: 0,
  first: null,
  ...rest,
});

describe('a consumer is at odds with its stream', () => {
  it.each<[string, Partial<ConsumerStand>]>([
    ['when it waits for a message that is gone', { unacknowledged: 1, floor: 9 }],
    ['when it waits for one, and all that is there was never handed out', { unacknowledged: 1, floor: 9, first: 11 }],
    ['when it has passed over one', { first: 7 }],
    ['when one is there that is acknowledged', { unacknowledged: 1, floor: 8, first: 7 }],
  ])('%s', (_, rest) => {
    expect(isAtOdds(stand(rest), false)).toBe(true);
    expect(isAtOdds(stand(rest), true)).toBe(true);
  });

  it('in order, when it has passed over one before that which is in hand', () => {
    const passedOver = stand({ unacknowledged: 1, floor: 3, first: 7 });
    expect(isAtOdds(passedOver, true)).toBe(true);
    expect(isAtOdds(passedOver, false)).toBe(false);
  });

  it.each<[string, Partial<ConsumerStand>]>([
    ['nothing is there', {}],
    ['all that is there was not handed out yet', { first: 11 }],
    ['the oldest is in hand', { unacknowledged: 1, floor: 9, first: 10 }],
  ])('never when %s', (_, rest) => {
    expect(isAtOdds(stand(rest), false)).toBe(false);
    expect(isAtOdds(stand(rest), true)).toBe(false);
  });
});

describe('a consumer is out of step', () => {
  const passedOver = stand({ first: 7 });
  const waits = stand({ unacknowledged: 1, floor: 9 });

  it('when it was at odds over the same message twice', () => {
    expect(isOutOfStep(passedOver, { ...passedOver, delivered: 20, floor: 20 }, true)).toBe(true);
    expect(isOutOfStep(waits, waits, true)).toBe(true);
  });

  it('not when it was seen for the first time, or is another one', () => {
    expect(isOutOfStep(undefined, passedOver, true)).toBe(false);
    expect(isOutOfStep({ ...passedOver, created: 'yesterday' }, passedOver, true)).toBe(false);
  });

  it('not when it was over another message, for that was only on its way', () => {
    expect(isOutOfStep(stand({ first: 6 }), passedOver, true)).toBe(false);
    expect(isOutOfStep(waits, { ...waits, delivered: 12, floor: 11 }, true)).toBe(false);
    expect(isOutOfStep(waits, { ...waits, floor: 10 }, true)).toBe(false);
    expect(isOutOfStep(stand({ first: 11 }), stand({ first: 11, delivered: 12 }), true)).toBe(false);
  });
});

describe('on a server', () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNats();
  });
  afterAll(() => server.dispose());

  it('one that has passed over messages is made anew, and hands them out', async () => {
    const claims = { claimDuration: 30_000 };
    const [unordered, ordered] = [openLab(server.url, claims), openLab(server.url, claims)];
    const labs = [
      { lab: unordered, options: { ordered: false }, got: recorder() },
      { lab: ordered, options: { ordered: true }, got: recorder() },
    ];
    const streams = join(server.store, 'jetstream', '$G', 'streams');
    const messages = labs.map(({ lab }) => join(streams, lab.stream, 'msgs'));
    const before = labs.map(({ lab }) => join(server.store, `${lab.stream}-before`));
    for (const { lab } of labs) await lab.publish(1, 2, 3);
    await server.stop();
    labs.forEach((_, index) => copyFolder(messages[index], before[index]));
    await server.start();
    const receivers = await Promise.all(labs.map(({ lab, options, got }) => lab.receive(got.handle, options)));
    for (const { got } of labs) await got.until((seen) => seen.length >= 3);
    const manager = await managerOf(server);
    for (const { lab } of labs)
      await eventually(
        'all to be acknowledged',
        async () => (await manager.streams.info(lab.stream)).state.messages === 0,
      );
    await Promise.all(receivers.map((receiver) => receiver.stop()));
    await server.stop();
    labs.forEach((_, index) => copyFolder(before[index], messages[index]));
    await server.start();

    const again = labs.map(({ lab, options }) => ({ lab, options, seen: recorder() }));
    await Promise.all(again.map(({ lab, options, seen }) => lab.receive(seen.handle, options)));
    for (const { lab, seen } of again) {
      await seen.until((deliveries) => new Set(numbers(deliveries)).size === 3);
      expect(await lab.error(/out of step/)).toMatchObject({ code: 'HF_TRANSPORT_UNAVAILABLE' });
    }
  });
});

/** With its owner, who may not be the one of this process. */
function copyFolder(from = '', to = ''): void {
  rmSync(to, { recursive: true, force: true });
  execFileSync('cp', ['-a', from, to]);
}

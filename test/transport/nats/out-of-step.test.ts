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
import { eventually } from '../../support/eventually.ts';
import { managerOf, openLab } from './lab.ts';

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

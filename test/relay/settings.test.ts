/** What the relays of one subscription must have alike: the one that was started last says what counts. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { differences, sharedSettings } from '../../src/relay/subscription/shared-settings.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { recordingTransport } from '../support/recording-transport.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

let lab: RelayLab;
beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(() => lab.reset());
afterAll(() => lab.close());

const before = { routes: [{ topics: 'note.*', to: 'notes' }] };
const now = { routes: [...before.routes, { topics: 'other.*', to: 'others' }] };

describe('two relays with different routes', () => {
  it('serve by those of the one that was started last, and pass over nothing that it has a route for', async () => {
    const old = await lab.relay(before);
    await old.relay.tick();
    expect(old.relay.states[0]?.role).toBe('active');
    const fresh = await lab.relay(now);
    await lab.writeOther({ n: 1 });
    await lab.write({ n: 2 });
    // The old one may not know yet; nothing that it does now is stored.
    await old.relay.tick().catch(() => undefined);
    for (let round = 0; round < 2; round += 1) await fresh.relay.tick();
    await lab.until(async () => {
      await old.relay.tick().catch(() => undefined);
      return old.relay.states[0]?.role === 'standby';
    });
    expect(lab.numbers(fresh.transport)).toEqual([1, 2]);
    expect(fresh.relay.states[0]?.role).toBe('active');
    expect(old.relay.states[0]).toMatchObject({ role: 'standby', trouble: expect.stringContaining('other settings') });

    // Also when the later one ends: a gap is seen, a message that was passed over is not.
    await fresh.relay.stop();
    await lab.writeOther({ n: 3 });
    await old.relay.tick();
    expect(old.relay.states[0]?.role).toBe('standby');

    // Its next start is a decision.
    const again = await lab.relay(now);
    await again.relay.tick();
    expect(lab.numbers(again.transport)).toEqual([3]);
  });

  it('are one when only the order of what they say differs', async () => {
    const first = await lab.relay({
      routes: [
        { topics: ['a.*', 'note.*'], to: 'x' },
        { topics: 'other.*', to: 'y' },
      ],
    });
    await first.relay.tick();
    const second = await lab.relay({
      routes: [
        { topics: 'other.*', to: 'y' },
        { topics: ['note.*', 'a.*'], to: 'x' },
      ],
    });
    await second.relay.tick();
    expect([first.relay.states[0]?.role, second.relay.states[0]?.role]).toEqual(['active', 'standby']);
  });
});

it('a relay that was told another broker says so, and is not kept from the subscription', async () => {
  const said: unknown[] = [];
  const log: Logger = { ...silentLogger, warn: (fields) => void said.push(fields), child: () => log };
  const start = (address: string) => lab.relay({}, { log }, { ...recordingTransport(), address });
  const first = await start('redis a');
  await first.relay.tick();
  await start('redis a');
  expect(said).toEqual([]);
  await start('redis b');
  expect(said).toEqual([{ subscription: 'main', broker: 'redis b', before: 'redis a' }]);
  await first.relay.tick();
  expect(first.relay.states[0]?.role).toBe('active');
});

it('what differs is told in words', () => {
  const rest = { onRefused: 'park-key' as const, retentionMs: 1_000 };
  const one = sharedSettings([{ topics: 'a.*', to: 'x', ordered: true }], rest);
  const other = sharedSettings([{ topics: 'a.*', to: 'x' }], { onRefused: 'skip', retentionMs: 2_000 });
  expect(differences(one, one)).toEqual([]);
  expect(differences(one, other)).toEqual([
    'without the route a.*=x:ordered',
    'with the route a.*=x',
    'onRefused skip instead of park-key',
    'retention 2000 ms instead of 1000 ms',
  ]);
});

/** Where messages go, and as what: the routes of a subscription. */
import { describe, expect, it } from 'vitest';
import { createRouter, toOutbound, type LoadedEntry, type Route } from '../../src/relay/subscription/routes.ts';
import { sharedSettings } from '../../src/relay/subscription/shared-settings.ts';

const router = (...routes: Route[]) => createRouter(routes, 'main');
const names = (topic: string, ...routes: Route[]) =>
  router(...routes)
    .destinations(topic)
    .map(({ name }) => name);

describe('a router', () => {
  it('sends a message to every destination that has its topic, once to each', () => {
    const routes: Route[] = [
      { topics: 'order.*', to: 'a' },
      { topics: ['other', 'order.placed'], to: 'b' },
      { topics: '**', to: 'a' },
      { topics: 'order.shipped', to: 'c' },
    ];
    expect(names('order.placed', ...routes)).toEqual(['a', 'b']);
    expect(names('nothing.of.it', { topics: 'order.*', to: 'a' })).toEqual([]);
  });

  it('refuses a destination that is ordered and not, and says whether any is', () => {
    const both = () => router({ topics: 'a', to: 'x', ordered: true }, { topics: 'b', to: 'x' });
    expect(both).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
    expect(router({ topics: 'a', to: 'x' }).hasOrdered).toBe(false);
    expect(router({ topics: 'a', to: 'x' }, { topics: 'a', to: 'y', ordered: true }).hasOrdered).toBe(true);
  });

  it.each([
    { topics: [], to: 'x' },
    { topics: 'a', to: '' },
    { topics: 'a*', to: 'x' },
  ])('refuses %j', (route) => {
    expect(() => router(route)).toThrow(expect.objectContaining({ code: 'HF_CONFIG' }));
  });
});

describe('a message on its way', () => {
  const entry: LoadedEntry = {
    seq: 1,
    id: '0193b2c4-0000-7000-8000-000000000001',
    topic: 'order.placed',
    key: 'a',
    time: '2026-01-02T03:04:05.678901Z',
    payload: '{}',
    headers: '{}',
    bytes: 4,
  };
  const wireOf = (context: Partial<Parameters<typeof toOutbound>[2]>) => {
    const message = toOutbound(entry, 'all', { source: 'shop', signing: null, ...context });
    return { ...message, wire: JSON.parse(message.wire) as Record<string, unknown> };
  };

  it('names its predecessor, and the replay that it is part of', () => {
    const predecessor = { id: entry.id.replace(/1$/, '0'), at: entry.time, sentAt: '2026-01-02T03:04:06.000Z' };
    const sentAt = '2026-01-02T03:04:07.000Z';
    expect(wireOf({ predecessor, sentAt }).wire).toMatchObject({
      predecessorid: predecessor.id,
      predecessorat: predecessor.at,
      predecessorsentat: predecessor.sentAt,
      sentat: sentAt,
    });
    const replayed = wireOf({ replayId: 'r' });
    expect([replayed.replayId, replayed.wire['replayid'], replayed.id]).toEqual(['r', 'r', entry.id]);
    const plain = wireOf({ sentAt });
    expect([plain.replayId, 'replayid' in plain.wire, 'predecessorid' in plain.wire]).toEqual([null, false, false]);
  });
});

describe('what the relays of a subscription must have alike', () => {
  const rest = { onRefused: 'park-key', retentionMs: 1 } as const;

  it('says the same for the same routes in any order, and another thing for any other', () => {
    const one = sharedSettings(
      [
        { topics: ['b', 'a'], to: 'x' },
        { topics: 'c', to: 'y', ordered: true },
      ],
      rest,
    );
    const same = sharedSettings(
      [
        { topics: 'c', to: 'y', ordered: true },
        { topics: ['a', 'b'], to: 'x', ordered: false },
      ],
      rest,
    );
    expect(same).toEqual(one);
    for (const other of [
      sharedSettings(
        [
          { topics: ['b', 'a'], to: 'x' },
          { topics: 'c', to: 'y' },
        ],
        rest,
      ),
      sharedSettings(
        [
          { topics: ['b'], to: 'x' },
          { topics: 'c', to: 'y', ordered: true },
        ],
        rest,
      ),
    ])
      expect(other).not.toEqual(one);
  });
});

/** A relay whose sessions end before they have stored that a page is out: it goes on, by fewer messages at a time. On PostgreSQL. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PageLimit } from '../../src/relay/delivery/page-limit.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import { recordingTransport } from '../support/recording-transport.ts';

describe('the limit of a page', () => {
  it('comes down to what a session can store, whatever that is, and up again when it can do more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 1, max: 5_000 }), (most, able) => {
        const pages = new PageLimit(most);
        let sessions = 0;
        while (pages.messages > able) {
          pages.begin(pages.messages);
          pages.sessionEnded(false);
          expect((sessions += 1)).toBeLessThanOrEqual(13);
        }
        expect(pages.messages).toBeGreaterThanOrEqual(Math.min(most, Math.floor((able + 1) / 2)));
        for (let page = 0; pages.isCut; page += 1) {
          expect(page).toBeLessThanOrEqual(8 * 13);
          pages.begin(pages.messages);
          pages.stored();
        }
        expect(pages.messages).toBe(most);
      }),
    );
  });

  it('is not touched by a session that has stored something, or has brought out nothing', () => {
    const pages = new PageLimit(100);
    pages.begin(100);
    expect([pages.sessionEnded(true), pages.sessionEnded(false), pages.messages]).toEqual([false, false, 100]);
  });

  it('follows from what was on its way, where that was less than it allows', () => {
    const pages = new PageLimit(1_000);
    pages.begin(9);
    expect([pages.sessionEnded(false), pages.messages, pages.isCut]).toEqual([true, 4, true]);
  });
});

describe('a relay whose sessions end before a long page is stored', () => {
  let lab: RelayLab;
  beforeAll(async () => {
    lab = await createRelayLab();
  });
  beforeEach(() => lab.reset());
  afterAll(() => lab.close());

  const MESSAGES = 40;
  /** So many messages can be brought out before the session ends. */
  const ABLE = 3;

  it('brings out all of them, each a few times at most', async () => {
    const transport = recordingTransport();
    let before = 0;
    const crashPoint = (point: string): void => {
      if (point === 'relay.acquire:after') before = transport.data().length;
      if (point === 'relay.advance:before' && transport.data().length - before > ABLE) throw new Error('too slow');
      if (point === 'relay.advance:after') before = transport.data().length;
    };
    const { relay } = await lab.relay({ batchSize: 32 }, { crashPoint }, transport);
    await lab.write(...Array.from({ length: MESSAGES }, (_, n) => ({ n })));
    const stored = async (): Promise<number> =>
      Number((await lab.database.query<{ high: string }>('SELECT high FROM holdfast.subscription')).rows[0]?.high);
    for (let tick = 0; (await stored()) < MESSAGES; tick += 1) {
      expect(tick).toBeLessThan(100);
      // It says that its session is over.
      await relay.tick().catch(() => {});
    }
    const times = new Map<number, number>();
    for (const n of lab.numbers(transport)) times.set(n, (times.get(n) ?? 0) + 1);
    expect(times.size).toBe(MESSAGES);
    expect(Math.max(...times.values())).toBeLessThanOrEqual(6);
  });
});

/** What fifty open pages cost the database: what one does. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openDatabase, type Database } from '../../src/postgres/database.ts';
import { createManualClock } from '../../src/testing/manual-clock.ts';
import { withSeams } from '../../src/testing/seams.ts';
import { startWireCounter, type WireCounter } from '../support/wire-counter.ts';
import { ask, authenticator, TOKENS, useDashboardLab } from './server-lab.ts';

const lab = useDashboardLab();
let wire: WireCounter;
let counted: Database;
beforeAll(async () => {
  wire = await startWireCounter(lab.url);
  counted = openDatabase({ url: wire.url });
});
afterEach(() => vi.useRealTimers());
afterAll(async () => {
  await counted.close();
  await wire.close();
});

/** Statements that have passed since the last call, but for the look for jobs that were left, which waits for no page. */
const passed = (): number =>
  wire
    .take()
    .flatMap(({ statements }) => statements)
    .filter((text) => !text.includes('lease_owner IS NOT NULL')).length;

interface Page {
  /** Resolves with the next overview. */
  next(): Promise<string>;
  close(): void;
}

async function openPage(parts: Parameters<typeof ask>[0]): Promise<Page> {
  const controller = new AbortController();
  const request = new Request('http://dash.test/api/live', {
    headers: { authorization: `Bearer ${TOKENS.viewer}` },
    signal: controller.signal,
  });
  const response = await parts.fetch(request, { incoming: { socket: { remoteAddress: '203.0.113.7' } } });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let rest = '';
  return {
    async next() {
      for (;;) {
        const end = rest.indexOf('\n\n');
        if (end < 0) {
          const { value, done } = await reader.read();
          if (done) throw new Error('The stream has ended.');
          rest += decoder.decode(value, { stream: true });
          continue;
        }
        const event = rest.slice(0, end);
        rest = rest.slice(end + 2);
        if (event.startsWith('event: overview\n')) return event;
      }
    },
    close: () => controller.abort(),
  };
}

describe('pages that are live', () => {
  it('are told by as many statements whether there is one or fifty', async () => {
    const clock = createManualClock();
    const parts = lab.open(withSeams({ database: counted, authenticators: [authenticator] }, { clock }));
    // Longer than the runs are counted for, so that each stretch has as many counts.
    const statementsOf = async (pages: readonly Page[]): Promise<number> => {
      passed();
      for (let tick = 0; tick < 16; tick += 1) {
        await clock.whenSleeping();
        await clock.advance('2s');
        const events = await Promise.all(pages.map((page) => page.next()));
        expect(new Set(events).size).toBe(1);
      }
      return passed();
    };
    const first = await openPage(parts);
    await first.next();
    const ofOne = await statementsOf([first]);
    const others = await Promise.all(Array.from({ length: 49 }, () => openPage(parts)));
    await Promise.all(others.map((page) => page.next()));
    const ofFifty = await statementsOf([first, ...others]);
    expect(ofOne).toBeGreaterThan(16);
    expect(ofFifty).toBe(ofOne);
    for (const page of [first, ...others]) page.close();
  });
});

describe('pages that show the same list', () => {
  const open = () => lab.open({ database: counted });

  it('have it read once, and get the same', async () => {
    const parts = open();
    const one = await ask(parts, '/api/runs?status=stuck&limit=20', { as: 'viewer' });
    const ofOne = passed();
    expect(one.status).toBe(200);
    // Not the same as before: another filter, so it is read anew.
    const all = await Promise.all(
      Array.from({ length: 50 }, () => ask(parts, '/api/runs?status=waiting&limit=20', { as: 'viewer' })),
    );
    expect(passed()).toBe(ofOne);
    expect(new Set(all.map(({ json }) => JSON.stringify(json))).size).toBe(1);
  });

  it('have it read anew after somebody has acted, and for whom may see more', async () => {
    const parts = open();
    const look = (as: 'viewer' | 'operator', limit: number) => ask(parts, `/api/parked?limit=${limit}`, { as });
    await look('viewer', 1);
    const ofOne = passed();
    await Promise.all([look('viewer', 2), look('operator', 2), look('viewer', 2)]);
    expect(passed()).toBe(2 * ofOne);
    // Only the act can have it read anew: no second passes.
    vi.useFakeTimers({ toFake: ['setTimeout', 'performance'] });
    await Promise.all([look('viewer', 3), look('viewer', 3)]);
    passed();
    await look('viewer', 3);
    expect(passed()).toBe(0);
    await ask(parts, '/api/parked/retry', { body: { selection: { all: true }, reason: 'the broker is back' } });
    passed();
    await Promise.all([look('viewer', 3), look('viewer', 3)]);
    expect(passed()).toBe(ofOne);
  });

  it('are told apart by who they are where the answer is about that', async () => {
    const parts = open();
    const [viewer, operator, viewerAgain] = await Promise.all(
      (['viewer', 'operator', 'viewer'] as const).map((as) => ask(parts, '/api/session', { as })),
    );
    expect([viewer?.json['role'], operator?.json['role'], viewerAgain?.json['role']]).toEqual([
      'viewer',
      'operator',
      'viewer',
    ]);
  });
});

/**
 * Which way a reply goes: in memory to its run, into the store with others, or by itself; and what the broker is told of it.
 */
import { describe, expect, it } from 'vitest';
import type { Delivery, Verdict } from '../../src/transport/port.ts';
import { encodeWire } from '../../src/message/envelope.ts';
import { onReply } from '../../src/saga/protocol/read-reply.ts';
import type { GroupAnswer } from '../../src/saga/protocol/reply-groups.ts';
import { ReplyRoute } from '../../src/saga/protocol/reply-route.ts';

const RUN = '01890a5d-ac96-774b-bcce-b302099a8057';
const ALONE: Verdict = { kind: 'later', delayMs: 77 };

const wireOf = (topic: string, data: object): string =>
  encodeWire({
    id: '01890a5d-ac96-774b-bcce-b302099a8059',
    topic,
    key: null,
    time: new Date(0).toISOString(),
    payload: JSON.stringify(data),
    headers: '{"schemaversion":1}',
  });
const REPLY = wireOf('saga.reply', { runId: RUN.toUpperCase(), call: 'a', to: 'command', outcome: 'done' });

/** What is around a route, where it is not the usual. */
interface Around {
  /** What the run says to whom it is handed; null: it is not here. */
  readonly taken?: Promise<boolean> | null;
  readonly answer?: GroupAnswer;
  readonly alone?: Verdict;
  readonly isSigned?: ((wire: unknown) => boolean) | null;
}

/** A route with everything around it as it is given; and what came of it. */
function routeOf({ taken = null, answer = 'stored', alone = ALONE, isSigned = null }: Around = {}) {
  const seen = { handed: [] as string[], posted: 0, alone: 0, looks: 0, outcomes: [] as string[] };
  const route = new ReplyRoute({
    handler: onReply('saga.reply', async () => {}),
    door: {
      take: (runId) => {
        seen.handed.push(runId);
        return taken;
      },
      stored: () => void (seen.looks += 1),
    },
    groups: {
      post: async () => {
        seen.posted += 1;
        return answer;
      },
    },
    crash: () => {},
    by: { name: 'replies', destination: 'replies' },
    isSigned,
    handle: async () => {
      seen.alone += 1;
      return alone;
    },
    alone: 1,
    onTaken: (outcome) => void seen.outcomes.push(outcome),
  });
  const handle = (more: Partial<Delivery> = {}): Promise<Verdict> =>
    route.handle({ wire: REPLY, redeliveries: 0, signal: new AbortController().signal, ...more });
  return { seen, handle };
}

describe('a reply', () => {
  it('to a run that is here is done when it is recorded, and stored nowhere', async () => {
    const { seen, handle } = routeOf({ taken: Promise.resolve(true) });
    expect(await handle()).toEqual({ kind: 'done' });
    expect(seen).toEqual({ handed: [RUN], posted: 0, alone: 0, looks: 0, outcomes: ['handled'] });
  });

  it('that its run gave back, or that is for a run elsewhere, is stored, and whoever has the run may look', async () => {
    for (const taken of [Promise.resolve(false), null]) {
      const { seen, handle } = routeOf({ taken });
      expect(await handle()).toEqual({ kind: 'done' });
      expect(seen).toMatchObject({ posted: 1, looks: 1, outcomes: ['handled'] });
    }
  });

  it('of which nobody knows whether it is recorded comes again', async () => {
    const aborted = new AbortController();
    const { seen, handle } = routeOf({ taken: new Promise(() => {}) });
    const verdict = handle({ signal: aborted.signal });
    await new Promise(setImmediate);
    aborted.abort();
    expect(await verdict).toEqual({ kind: 'later', delayMs: 0 });
    const lost = routeOf({ taken: Promise.reject(new Error('the worker died')) });
    expect(await lost.handle()).toEqual({ kind: 'later', delayMs: 0 });
    expect([seen, lost.seen]).toMatchObject([
      { posted: 0, outcomes: [] },
      { posted: 0, outcomes: [] },
    ]);
  });

  it('that was stored before is done, and has nobody look', async () => {
    const { seen, handle } = routeOf({ answer: 'known' });
    expect(await handle()).toEqual({ kind: 'done' });
    expect(seen).toMatchObject({ looks: 0, outcomes: ['duplicate'] });
  });

  it('that cannot go with others goes by itself, and is what comes of that', async () => {
    const { seen, handle } = routeOf({ answer: 'alone' });
    expect(await handle()).toEqual(ALONE);
    expect(seen).toMatchObject({ alone: 1, looks: 0, outcomes: [] });
    const done = routeOf({ answer: 'alone', alone: { kind: 'done' } });
    expect(await done.handle()).toEqual({ kind: 'done' });
    expect(done.seen).toMatchObject({ looks: 1 });
  });

  it.each<[string, Partial<Delivery>]>([
    ['came before, and may have killed who had it', { redeliveries: 1 }],
    ['was taken away already', { signal: AbortSignal.abort() }],
    ['cannot be read', { wire: '{' }],
    [
      'is of another topic',
      { wire: wireOf('order.placed', { runId: RUN, call: 'a', to: 'command', outcome: 'done' }) },
    ],
    ['is no reply', { wire: wireOf('saga.reply', { runId: RUN, call: 'a', to: 'command', outcome: 'perhaps' }) }],
  ])('that %s goes by itself', async (_, delivery) => {
    const { seen, handle } = routeOf({ taken: Promise.resolve(true) });
    expect(await handle(delivery)).toEqual(ALONE);
    expect(seen).toMatchObject({ handed: [], posted: 0, alone: 1 });
  });

  it('that is not signed as it must be goes by itself', async () => {
    const { seen, handle } = routeOf({ taken: Promise.resolve(true), isSigned: () => false });
    expect(await handle()).toEqual(ALONE);
    expect(seen).toMatchObject({ handed: [], alone: 1 });
  });
});

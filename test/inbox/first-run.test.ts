/** What an ordered consumer may do without when it first runs: no more than the last message of a key that went out before. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer, type Consumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { requestReplay } from '../../src/operations/relay/replays.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';
import type { RecordingTransport } from '../support/recording-transport.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }) });
const DONE = { kind: 'done' };
let lab: RelayLab;
let handled: number[] = [];

beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(async () => {
  handled = [];
  await lab.reset();
  await lab.database.query('TRUNCATE holdfast.inbox, holdfast.parked_delivery, holdfast.delivery_attempt');
});
afterAll(() => lab.close());

const make = (): Consumer =>
  createConsumer('notes', {
    database: lab.database,
    transport: createMemoryTransport(),
    ordered: true,
    predecessorWait: 0,
    handlers: [on(Noted, async ({ n }) => void handled.push(n))],
  });

/** Its first run; it has no queue of its own here. */
async function firstRun(): Promise<Consumer> {
  const made = make();
  await made.start();
  return made;
}

const ordered = { routes: [{ topics: '**', to: 'notes', ordered: true }] };

async function give(to: Consumer, { sent }: RecordingTransport, ...numbers: number[]): Promise<void> {
  for (const n of numbers) {
    const found = sent.findLast(({ wire }) => (JSON.parse(wire) as { data: { n: number } }).data.n === n);
    const answer = await to.handle({ wire: found?.wire ?? '', redeliveries: 0, signal: new AbortController().signal });
    expect(answer).toEqual(DONE);
  }
}

describe('an ordered consumer that first runs', () => {
  it('on a queue with a backlog keeps its order when one of its jobs is gone', async () => {
    const { relay, transport } = await lab.relay(ordered);
    await lab.write({ n: 1 }, { n: 2 }, { n: 3 });
    await relay.tick();
    const notes = await firstRun();
    await give(notes, transport, 1, 3);
    expect(handled).toEqual([1]);
    await requestReplay(lab.database, { subscription: 'main' }, { actor: 'ann' });
    for (let round = 0; round < 2; round += 1) await relay.tick();
    await give(notes, transport, 2);
    await notes.tickParked();
    expect(handled).toEqual([1, 2, 3]);
    await notes.stop();
  });

  it('while the relay has a backlog keeps the order of what is sent from then on', async () => {
    const { relay, transport } = await lab.relay(ordered);
    await lab.write({ n: 1 }, { n: 2 }, { n: 3 });
    const notes = await firstRun();
    await relay.tick();
    await give(notes, transport, 1, 3);
    expect(handled).toEqual([1]);
    await give(notes, transport, 2);
    await notes.tickParked();
    expect(handled).toEqual([1, 2, 3]);
    await notes.stop();
  });

  it('where another has handled what came before does not wait for that, also after a restart of the relay', async () => {
    const first = await lab.relay(ordered);
    await lab.write({ n: 1 });
    await first.relay.tick();
    await first.relay.stop();
    const notes = await firstRun();
    const { relay, transport } = await lab.relay(ordered);
    await lab.write({ n: 2 });
    await relay.tick();
    await relay.tick();
    await give(notes, transport, 2);
    expect(handled).toEqual([2]);
    await notes.stop();
  });
});

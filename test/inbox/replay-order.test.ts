/**
 * An ordered consumer gets a part of one replay, because the broker lost the rest, and then another replay. And one that is new gets a
 * replay from the middle of the log.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { createConsumer, type Consumer } from '../../src/inbox/consumer.ts';
import { on } from '../../src/inbox/handlers/handler.ts';
import { message } from '../../src/message/message-type.ts';
import { requestReplay } from '../../src/operations/relay/replays.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import type { OutboundMessage } from '../../src/transport/port.ts';
import { eventually } from '../support/eventually.ts';
import { createRelayLab, type RelayLab } from '../support/relay-lab.ts';

const Noted = message('note.taken', { schema: z.object({ n: z.number() }) });
const ordered = { routes: [{ topics: '**', to: 'notes', ordered: true }] };
let lab: RelayLab;
let handled: number[] = [];
const BEHIND = 'behind an earlier message of its key';
const broken = new Set<number>();

beforeAll(async () => {
  lab = await createRelayLab();
});
beforeEach(async () => {
  handled = [];
  broken.clear();
  await lab.reset();
  await lab.database.query('TRUNCATE holdfast.inbox, holdfast.parked_delivery, holdfast.delivery_attempt');
});
afterAll(() => lab.close());

/** Its first run; it has no queue of its own here. */
async function firstRun(): Promise<Consumer> {
  const made = createConsumer('notes', {
    database: lab.database,
    transport: createMemoryTransport(),
    ordered: true,
    predecessorWait: 0,
    retry: { attempts: 1 },
    handlers: [
      on(Noted, async ({ n }) => {
        if (broken.has(n)) throw new Error(`${n} is broken`);
        handled.push(n);
      }),
    ],
  });
  await made.start();
  return made;
}

/** What a relay brings out until there is nothing more to do, as the broker would have it. */
async function broughtOut(): Promise<readonly OutboundMessage[]> {
  const { relay, transport } = await lab.relay(ordered);
  for (let round = 0; round < 3; round += 1) await relay.tick();
  await relay.stop();
  return transport.sent;
}

async function written(from: number, to: number): Promise<readonly OutboundMessage[]> {
  for (let n = from; n <= to; n += 1) await lab.write({ n });
  return broughtOut();
}

async function replayed(range: {
  readonly fromSeq: number;
  readonly toSeq?: number;
}): Promise<readonly OutboundMessage[]> {
  await requestReplay(lab.database, { subscription: 'main', ...range }, { actor: 'ann' });
  return broughtOut();
}

/** In this order. What is taken up again beside it may have the key meanwhile: then a broker brings a message again. */
async function give(to: Consumer, jobs: readonly OutboundMessage[]): Promise<void> {
  for (const { wire } of jobs) {
    const delivery = { wire, redeliveries: 0, signal: new AbortController().signal };
    await eventually('a message to be taken', async () => (await to.handle(delivery)).kind === 'done');
  }
}

const parked = async (): Promise<readonly string[]> => {
  const { rows } = await lab.database.query<{ reason: string }>(
    'SELECT reason FROM holdfast.parked_delivery ORDER BY position',
  );
  return rows.map(({ reason }) => reason);
};

/** Until nothing is left to be taken up again. */
async function takenUp(by: Consumer): Promise<void> {
  await eventually('what was parked to be handled', async () => {
    await by.tickParked();
    return (await parked()).length === 0;
  });
}

it('what a broker has left of one replay waits for what the next one brings', async () => {
  const notes = await firstRun();
  await give(notes, (await written(1, 8)).slice(0, 2));
  // The broker is empty; and again, when it has half of what the first replay brings.
  const first = await replayed({ fromSeq: 2 });
  await give(notes, first.slice(3));
  expect(handled).toEqual([1, 2]);
  expect(await parked()).toEqual(['predecessor missing', BEHIND, BEHIND, BEHIND]);
  // A live message stands behind all that.
  await give(notes, await written(9, 9));
  await give(notes, await replayed({ fromSeq: 3 }));
  await takenUp(notes);
  expect(handled).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await notes.stop();
});

it('what is left of a replay goes before a live message that waits, and goes on behind the next one, whatever range that has', async () => {
  const notes = await firstRun();
  await written(1, 6);
  await give(notes, await written(7, 7));
  const first = await replayed({ fromSeq: 1, toSeq: 6 });
  await give(notes, [...first.slice(0, 2), ...first.slice(4)]);
  expect(handled).toEqual([1, 2]);
  expect(await parked()).toEqual(['predecessor missing', BEHIND, 'predecessor missing']);
  await give(notes, await replayed({ fromSeq: 3, toSeq: 4 }));
  await takenUp(notes);
  expect(handled).toEqual([1, 2, 3, 4, 5, 6, 7]);
  await notes.stop();
});

it('a new consumer is filled from the middle of the log, waits for nothing, and keeps the order of what it is sent', async () => {
  await written(1, 6);
  const notes = await firstRun();
  const jobs = await replayed({ fromSeq: 3 });
  await give(notes, jobs.slice(0, 1));
  expect(handled).toEqual([3]);
  // One that is missing is missed, though all of them were written before this consumer first ran.
  await give(notes, jobs.slice(2));
  expect(handled).toEqual([3]);
  await give(notes, jobs.slice(1));
  await takenUp(notes);
  expect(handled).toEqual([3, 4, 5, 6]);
  await notes.stop();
});

it('one that fails keeps the rest of its replay behind it', async () => {
  const notes = await firstRun();
  await written(1, 4);
  broken.add(2);
  await give(notes, await replayed({ fromSeq: 1 }));
  expect(handled).toEqual([1]);
  expect(await parked()).toEqual(['gave up after retries', BEHIND, BEHIND]);
  await notes.stop();
});

/**
 * What the API would answer of one message's way and of what a text is the name of, for tests of the page without a database.
 */
import type { AsJson } from '../../src/dashboard/server/contract.ts';
import type { WireFindings, WirePath, WireSent } from '../../src/dashboard/page/app/wire.ts';
import type { Found } from '../../src/operations/path/find-anything.ts';
import type { MessagePath, PathRun } from '../../src/operations/path/path-model.ts';
import { storyOf } from '../../src/operations/path/path-story.ts';
import type { MessageRef } from '../../src/operations/reads/message-ref.ts';

/** As it arrives. */
const json = <T>(value: T): AsJson<T> => JSON.parse(JSON.stringify(value)) as AsJson<T>;

export const idOf = (n: number): string => `0199f3a0-7b1c-7cc0-9d7e-${String(n).padStart(12, '0')}`;
const now = Date.now();
const at = (msAgo: number): Date => new Date(now - msAgo);

export interface SampleIds {
  readonly message: string;
  readonly run: string;
}

const refOf = (n: number, topic: string, msAgo: number): MessageRef => ({
  id: idOf(n),
  seq: 91_000 + n,
  topic,
  key: 'o-4711',
  createdAt: at(msAgo),
  correlationId: null,
  causationId: null,
  command: null,
});

/** A command of a run, which one consumer has handled and another has parked. */
export function samplePath({ message: id, run: runId }: SampleIds): MessagePath {
  const run: PathRun = { id: runId, saga: 'place-order', version: 1, key: 'o-4711', status: 'stuck' };
  const parked = {
    state: 'failed',
    reason: 'attempts used up',
    error: 'TypeError: Cannot read properties of undefined (reading "street")',
    attempts: 8,
    parkedAt: at(700),
    nextAttemptAt: null,
  } as const;
  const facts: Omit<MessagePath, 'steps'> = {
    id,
    state: 'logged',
    message: {
      ...refOf(0, 'order.placed', 1_200),
      id,
      seq: 91_204,
      correlationId: runId,
      command: { run: runId, call: 'reserve', role: 'command' },
      lane: 12,
      xid: '748211',
      bytes: 420,
      source: 'orders',
      traceparent: null,
      headers: { 'holdfast-saga': runId, 'holdfast-call': 'reserve', 'holdfast-role': 'command' },
    },
    scheduled: null,
    causes: [refOf(401, 'basket.closed', 9_000)],
    together: { messages: [refOf(402, 'stock.reserve', 1_200)], runs: [] },
    sender: {
      run,
      runId,
      call: 'reserve',
      role: 'command',
      attempt: 1,
      calledAt: at(1_201),
      outcome: { event: 'done', at: at(610) },
    },
    answer: null,
    relays: [
      { subscription: 'main', shard: 0, state: 'passed', parked: null, revised: false, replays: [] },
      { subscription: 'search', shard: 0, state: 'waiting', parked: null, revised: false, replays: [] },
    ],
    consumers: [
      { consumer: 'billing', state: 'handled', at: at(900), attempts: null, parked: null },
      { consumer: 'shipping', state: 'parked', at: at(700), attempts: 8, parked },
    ],
    participants: [{ participant: 'stock', state: 'done', at: at(890) }],
    led: [{ ...refOf(403, 'saga.reply', 880), from: id, depth: 1, relation: 'caused' }],
    ledComplete: true,
    now: new Date(now),
  };
  return { ...facts, steps: storyOf(facts) };
}

export function pathAnswer(ids: SampleIds): WirePath {
  return json(samplePath(ids));
}

export function sentOf(ids: SampleIds): readonly WireSent[] {
  return [json({ ...refOf(0, 'order.placed', 1_200), id: ids.message, call: 'reserve', role: 'command' as const })];
}

/** Of 'o-1' a run, messages and one that is parked; of anything else nothing, among the newest. */
export function findingsOf(text: string, ids: SampleIds): WireFindings {
  const base = { key: text, by: 'key', at: at(5_000), show: 'holdfast …' } as const;
  const all: readonly Found[] = [
    { ...base, kind: 'run', id: ids.run, name: 'place-order@1', state: 'stuck' },
    { ...base, kind: 'message', id: ids.message, name: 'order.placed', state: null },
    { ...base, kind: 'message', id: idOf(102), name: 'stock.reserve', state: null },
    { ...base, kind: 'parked', id: idOf(201), name: 'order.changed', state: 'by consumer shipping: gave up', by: 'id' },
  ];
  const found = text === 'o-1' ? all : all.filter(({ id }) => id === text);
  const isFound = found.length > 0;
  return json({
    text,
    found,
    similar: [],
    looked: { rows: isFound ? 91_204 : 40_000, reached: at(7_200_000), complete: isFound },
    further: isFound ? null : 'further',
    advice: isFound ? null : 'Retention prunes what is published and old.',
  });
}

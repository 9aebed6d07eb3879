/**
 * That each judge of the simulation speaks: a history in which its promise is broken, told to it alone. What real mistakes make them say is
 * measured by `npm run simulate -- --mutants`.
 */
import { describe, expect, it } from 'vitest';
import type { JournalEvent, RunStatus } from '../../src/saga/journal/events.ts';
import type { RunCommit } from '../../src/saga/store/store.ts';
import { createMemoryTables } from '../../src/testing/saga/memory-tables.ts';
import { breachesAtTheEnd, type Ended } from './invariants/at-the-end.ts';
import { Judge } from './invariants/judge.ts';
import { MessageJudge, type MessageJudgeOptions } from './invariants/message-judge.ts';
import type { MemoryRun } from '../../src/testing/saga/memory-saga-store.ts';
import type { PlannedRun, ToldRun } from './workload/clients.ts';
import type { DrawnPlan } from './workload/shape.ts';
import { attempt, called, RUN } from './seen-attempt.ts';

const NOW = 1_000;

/** A worker `w` with a lease until then, which has claimed the run. */
function judgeOf({ leaseUntil = NOW + 1, mayFail = true, mayBeLost = false } = {}) {
  const tables = createMemoryTables();
  tables.atomically((write) => {
    write.worker({ id: 'w', name: 'worker 1', sagas: [{ saga: 's', version: 1 }], leaseUntil });
    write.start({ id: RUN, saga: 's', version: 1, key: null, input: '{}', deadlineMs: null }, 0);
    const run = tables.runs.get(RUN);
    if (run !== undefined) write.run({ ...run, worker: 'w', claims: 1, wakeAt: null });
  });
  const judge = new Judge({
    tables,
    now: () => NOW,
    mayFail: () => mayFail,
    mayBeStuck: () => false,
    actors: new Set(['client']),
    declared: (step) => (step === 'pay' ? { pivot: false, undoable: true } : null),
    attempted: (step) =>
      step === 'pay' ? { attempts: 2, hasDeadline: false, verifies: true, fallsBack: false } : null,
    isDone: () => false,
    isDoneAfterRefusal: () => false,
    forgets: () => false,
    mayBeLost: () => mayBeLost,
  });
  let n = 0;
  return {
    judge,
    tables,
    tell: (...events: readonly JournalEvent[]) => judge.committed('w', [commitOf((n += 1), events)]),
    end: (status: RunStatus) => judge.committed('w', [commitOf((n += 1), [], status)]),
  };
}

function commitOf(n: number, events: readonly JournalEvent[], status?: RunStatus): RunCommit {
  const update = { reason: null, pivoted: false, release: null, result: null, error: null };
  return {
    runId: RUN,
    start: null,
    journal: { n, at: NOW, events: JSON.stringify(events) },
    update: status === undefined ? null : { ...update, status },
    runMessagesDone: [],
    runMessages: [],
    children: [],
    messages: [],
  };
}

const effect = { runId: RUN, saga: 's', step: 'pay', call: 'pay', kind: 'command', idempotencyKey: 'k' } as const;

describe('the judge of runs', () => {
  it('says nothing of what is right', () => {
    const { judge, tell, end } = judgeOf();
    judge.changed();
    tell(called);
    judge.attempted(attempt('done'));
    judge.attempts.ends(attempt('done'), 'done');
    judge.happened({ ...effect, what: 'done' }, 1);
    tell({ t: 'done', call: 'pay' });
    end('completed');
    expect(judge.breaches).toEqual([]);
  });

  const broken: readonly (readonly [string, () => Judge])[] = [
    ['I4', () => told(judgeOf(), ({ judge }) => judge.happened({ ...effect, what: 'done' }, 2))],
    ['I6', () => told(judgeOf(), ({ end }) => (end('completed'), end('running')))],
    [
      'I8',
      () => told(judgeOf(), ({ judge }) => (judge.attempted(attempt('compensated')), judge.attempted(attempt('done')))),
    ],
    [
      'I8',
      () =>
        told(
          judgeOf(),
          ({ judge }) => (
            judge.happened({ ...effect, what: 'compensated' }, 1),
            judge.happened({ ...effect, what: 'done' }, 1)
          ),
        ),
    ],
    [
      'I10',
      () =>
        told(judgeOf(), ({ tell }) =>
          tell({ ...called, kind: 'command' }, { t: 'done', call: 'pay' }, { t: 'done', call: 'pay' }),
        ),
    ],
    ['I11', () => told(judgeOf({ leaseUntil: NOW }), ({ tell }) => tell(called))],
    ['I11', () => told(judgeOf(), ({ judge }) => judge.attempted({ ...attempt('done'), token: 2 }))],
    [
      'I12',
      () =>
        told(judgeOf(), ({ tell }) =>
          tell({ t: 'called', call: 'z', kind: 'sleep', step: 'sleep', until: NOW + 1 }, { t: 'done', call: 'z' }),
        ),
    ],
    [
      'I12',
      () =>
        told(judgeOf(), ({ tell }) => tell({ t: 'signal', name: 'go', id: '1' }, { t: 'signal', name: 'go', id: '1' })),
    ],
    ['I15', () => told(judgeOf(), ({ tell }) => tell({ t: 'retried', actor: 'somebody' }))],
    ['I16', () => told(judgeOf({ mayFail: false }), ({ tell }) => tell({ t: 'undoing', reason: 'failed' }))],
    ['I17', () => told(judgeOf(), ({ judge, tables }) => (forget(tables), judge.changed()))],
    [
      'I22',
      () => told(judgeOf(), ({ tell }) => tell({ t: 'stuck', why: 'in doubt', error: { name: 'Error', message: '' } })),
    ],
    ['I23', () => told(judgeOf(), ({ tell }) => tell({ t: 'called', call: 'pay', kind: 'step', step: 'pay' }))],
    ['I24', () => told(judgeOf(), ({ judge }) => judge.stopped('worker 1', 'w'))],
  ];
  it.each(broken)('speaks for %s (%#)', (promise, tellIt) => {
    expect(tellIt().breaches.map((breach) => breach.split(':')[0])).toEqual([promise]);
  });

  it('takes note of what was called by code that has lost its compensation, and lets it be compensated later', () => {
    const { judge, tell } = judgeOf({ mayBeLost: true });
    const unpromised = { t: 'called', call: 'pay', kind: 'transaction', step: 'pay' } as const;
    tell(unpromised, { t: 'compensating', call: 'pay', round: 1 });
    expect([...judge.unpromised]).toEqual([`${RUN}pay`]);
    expect(judge.breaches).toEqual([]);
    tell({ t: 'called', call: 'ask', kind: 'step', step: 'pay', pivot: true });
    expect(judge.breaches.at(-1)).toMatch(/^I23/);
  });
});

function told<T extends { readonly judge: Judge }>(given: T, act: (given: T) => unknown): Judge {
  act(given);
  return given.judge;
}

/** Nobody holds the run, and nothing says when it is to be taken up. */
function forget(tables: ReturnType<typeof createMemoryTables>): void {
  tables.atomically((write) => {
    for (const run of tables.runs.values()) write.run({ ...run, worker: null, wakeAt: null });
  });
}

describe('the judge of messages', () => {
  const reply = (outcome: string): string =>
    JSON.stringify({ data: { runId: RUN, call: 'pay', to: 'command', outcome } });
  const message = (destination: string, wire: string) => ({ id: 'm', topic: 't', destination, wire });

  async function said(act: (judge: MessageJudge) => void, options: Partial<MessageJudgeOptions> = {}) {
    const breaches: string[] = [];
    const right = {
      wasCalled: () => true,
      hasHappened: () => true,
      isSettled: async () => true,
      isRecorded: () => true,
    };
    act(new MessageJudge({ ...right, say: (breach) => void breaches.push(breach), ...options }));
    await Promise.resolve();
    return breaches.map((breach) => breach.split(':')[0]);
  }

  it('says nothing of what is right', async () => {
    const all = (judge: MessageJudge): void => {
      judge.committedInLine('key', 'a');
      judge.committedInLine('key', 'b');
      judge.happenedInLine('a');
      judge.happenedInLine('b');
      judge.delivered(message('saga-replies', reply('done')));
      judge.acknowledged(message('saga-replies', reply('done')));
      judge.acknowledged(message('stock', '{}'));
    };
    expect(await said(all)).toEqual([]);
  });

  it('speaks for I2: a command that no run has recorded, a reply to what was rolled back', async () => {
    const command = JSON.stringify({
      headers: { 'holdfast-saga': RUN, 'holdfast-call': 'pay', 'holdfast-role': 'command' },
    });
    expect(await said((judge) => judge.delivered(message('stock', command)), { wasCalled: () => false })).toEqual([
      'I2',
    ]);
    const done = message('saga-replies', reply('done'));
    expect(await said((judge) => judge.delivered(done), { hasHappened: () => false })).toEqual(['I2']);
  });

  it('speaks for I3', async () => {
    const wrong = (judge: MessageJudge): void => {
      judge.committedInLine('key', 'a');
      judge.committedInLine('key', 'b');
      judge.happenedInLine('b');
    };
    expect(await said(wrong)).toEqual(['I3']);
  });

  it('speaks for I21', async () => {
    const unmarked = { isSettled: async () => false };
    expect(await said((judge) => judge.acknowledged(message('stock', '{}')), unmarked)).toEqual(['I21']);
    const taken = message('saga-replies', reply('done'));
    expect(await said((judge) => judge.acknowledged(taken), { isRecorded: () => false })).toEqual(['I21']);
  });
});

describe('the judges at the end', () => {
  const plan = { order: 'o', amount: 1, first: 'fair', second: 'fair', third: 'fair', bug: false } as const;
  type Planned = PlannedRun & { readonly told: ToldRun };
  const planned = (given: Partial<Planned> = {}): Planned => ({
    id: RUN,
    saga: 'approval',
    plan,
    startAtMs: 0,
    cancelAtMs: null,
    cancelOn: null,
    deadlineMs: null,
    drawn: null,
    signalsAtMs: [],
    told: { started: true, cancelled: null, momentHasCome: false, wasCancelledWhenStuck: false, signalled: new Set() },
    ...given,
  });
  const run = (given: Partial<Ended['runs'][number]> = {}): Ended['runs'][number] =>
    ({ id: RUN, saga: 'none', version: 1, status: 'completed', result: null, ...given }) as Ended['runs'][number];
  const ended = (given: Partial<Ended> = {}): Ended => ({
    runs: [run()],
    planned: [planned()],
    sagas: [],
    effects: [],
    balance: new Map(),
    leftOut: new Set(),
    forgets: false,
    messages: [],
    signalsOf: () => 0,
    unpromised: new Set(),
    unfinished: null,
    ...given,
  });

  const drawn: DrawnPlan = {
    order: 'o',
    amount: 5,
    stages: [[[{ id: '1', step: 'ask', weather: 'fair', back: 'fair', asked: 'knows', caught: true, alone: false }]]],
    parts: {},
  };
  const ofDrawn = (status: MemoryRun['status'], left: number, said?: string): Ended =>
    ended({
      runs: [run({ saga: 'drawn', parent: null, status, result: said === undefined ? null : { 1: said } })],
      planned: [planned({ saga: 'drawn', drawn })],
      balance: new Map([[`${RUN}ask:1`, left]]),
    });

  it.each([
    ['completed', 5, 'done'],
    ['completed', 0, 'failed'],
    ['compensated', 0, undefined],
  ] as const)('say nothing of a drawn run that is %s with %i left of what it calls %s', async (status, left, said) =>
    expect(await breachesAtTheEnd(ofDrawn(status, left, said))).toEqual([]),
  );

  it('say nothing of what is right', async () => expect(await breachesAtTheEnd(ended())).toEqual([]));

  it.each<readonly [string, Ended]>([
    ['I1', ended({ messages: [{ id: 'm', topic: 'order.news', key: null, payload: {}, headers: {} }] })],
    ['I5', ended({ runs: [] })],
    ['I6', ended({ runs: [run({ status: 'running' })], planned: [] })],
    ['I9', ended({ runs: [run({ status: 'compensated' })], planned: [], balance: new Map([[`${RUN}pay`, 1]]) })],
    ['I9', ofDrawn('completed', 5, 'failed')],
    ['I9', ofDrawn('completed', 0, 'done')],
    ['I9', ofDrawn('completed', 5, 'stood in')],
    ['I9', { ...ofDrawn('completed', -5, 'failed') }],
    ['I10', ofDrawn('completed', 0)],
    ['I12', ended({ runs: [run({ result: [1, 1] })], planned: [planned({ signalsAtMs: [1, 2] })] })],
    ['I13', ended({ unfinished: 'a run is running' })],
    ['I16', ended({ runs: [run({ status: 'compensated' })] })],
    [
      'I19',
      ended({
        planned: [
          planned({
            told: {
              started: true,
              cancelled: 'compensating',
              momentHasCome: false,
              wasCancelledWhenStuck: false,
              signalled: new Set(),
            },
          }),
        ],
      }),
    ],
    [
      'I19',
      ended({
        planned: [
          planned({
            told: {
              started: true,
              cancelled: null,
              momentHasCome: false,
              wasCancelledWhenStuck: false,
              signalled: new Set([1]),
            },
          }),
        ],
      }),
    ],
  ])('speak for %s (%#)', async (promise, wrong) => {
    expect((await breachesAtTheEnd(wrong)).map((breach) => breach.split(':')[0])).toEqual([promise]);
  });
});

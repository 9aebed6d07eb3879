/** What the API would say of declared sagas, of what is due next and of limits: see sample-pages.ts. */
import type { DeclaredSaga } from '../../src/dashboard/server/contract.ts';
import type { WireLimits, WireNextDue } from '../../src/dashboard/page/app/wire.ts';

const idOf = (n: number): string => `0199f3a0-7b1c-7cc0-9d7e-${String(n).padStart(12, '0')}`;
const now = Date.now();
const inMs = (ms: number): string => new Date(now + ms).toISOString();

export const DUE: WireNextDue = {
  messages: [
    { id: idOf(89), topic: 'order.remind', key: 'o-4711', dueAt: inMs(90_000), dueInMs: 90_000 },
    { id: idOf(90), topic: 'invoice.due', key: null, dueAt: inMs(86_400_000), dueInMs: 86_400_000 },
  ],
  timers: [
    {
      run: idOf(5),
      saga: 'approve-expense',
      version: 1,
      key: 'o-1',
      status: 'waiting',
      dueAt: inMs(7_200_000),
      dueInMs: 7_200_000,
    },
  ],
};

export const LIMITS: WireLimits = {
  workers: [
    {
      id: idOf(91),
      name: 'worker-1',
      live: true,
      sagas: ['place-order@1'],
      concurrency: 1_000,
      waiting: 1_000,
      sagaConcurrency: { 'place-order@1': 20 },
      maxBytes: 1_048_576,
      maxEvents: 10_000,
      maxJournalBytes: 67_108_864,
      leaseMs: 15_000,
      standstillMs: 60_000,
      retentionMs: 2_592_000_000,
    },
  ],
  subscriptions: [
    {
      name: 'main',
      shards: 2,
      retentionMs: 604_800_000,
      onRefused: 'park-key',
      routes: [{ topics: ['order.*'], to: 'billing', ordered: true }],
    },
  ],
  consumers: [{ name: 'billing', queues: ['billing'], retentionMs: 2_592_000_000 }],
};

const budget = { attempts: 5, withinMs: 60_000, timeoutMs: 30_000 };
export const DECLARED: readonly DeclaredSaga[] = [
  {
    name: 'place-order',
    version: 1,
    deadlineMs: 3_600_000,
    concurrency: 20,
    signals: [],
    steps: [
      {
        name: 'reserve',
        kind: 'command',
        pivot: false,
        compensated: true,
        topic: 'stock.reserve',
        child: null,
        budget,
      },
      { name: 'charge', kind: 'step', pivot: false, compensated: true, topic: null, child: null, budget },
      { name: 'ship', kind: 'command', pivot: true, compensated: false, topic: 'order.ship', child: null, budget },
      {
        name: 'confirm',
        kind: 'emit',
        pivot: false,
        compensated: false,
        topic: 'order.confirmed',
        child: null,
        budget,
      },
    ],
  },
];

/**
 * What the API would answer, for tests of the page without a database: typed as the contract has it, so that it cannot drift.
 */
import type { TimelineView } from '../../src/cli/output/timeline.ts';
import type { AuditedAct } from '../../src/operations/reads/audit.ts';
import { adviseStuck } from '../../src/operations/sagas/saga-advice.ts';
import { foldTimeline } from '../../src/operations/sagas/saga-timeline.ts';
import type { AsJson, DeclaredSaga, ListPage, SessionFacts } from '../../src/dashboard/server/contract.ts';
import type {
  WireDiagnosis,
  WireMessage,
  WireMessageDetails,
  WireOverview,
  WireParked,
  WireParkedDetails,
  WireRun,
  WireRunPage,
  WireTimeline,
} from '../../src/dashboard/page/app/wire.ts';
import { sampleAlerts as alerts } from './sample-alerts.ts';
import { compensated, completed, inDoubt, parallel, skipped, stuck, waiting } from '../cli/sample-runs.ts';

/** As it arrives. */
const json = <T>(value: T): AsJson<T> => JSON.parse(JSON.stringify(value)) as AsJson<T>;

export function timelineOf({ run, rows, now }: TimelineView): WireTimeline {
  const { stuck: place, ...timeline } = foldTimeline({ status: run.status, rows, now });
  const advice = place === null ? null : { ...place, advice: adviseStuck(run.id, place.why, place.call) };
  return json({ ...timeline, stuck: advice });
}

const idOf = (n: number): string => `0199f3a0-7b1c-7cc0-9d7e-${String(n).padStart(12, '0')}`;
const SAMPLES = { completed, parallel, compensated, inDoubt, waiting, stuck, skipped };
export const RUN_IDS = Object.fromEntries(
  Object.keys(SAMPLES).map((name, index) => [name, idOf(index + 1)]),
) as Readonly<Record<keyof typeof SAMPLES, string>>;

const now = Date.now();
const ago = (ms: number): string => new Date(now - ms).toISOString();

const runs: readonly WireRun[] = Object.entries(SAMPLES).map(([name, { run }]) =>
  json({ ...run, id: RUN_IDS[name as keyof typeof SAMPLES] }),
);

const pages = new Map<string, WireRunPage>(
  Object.entries(SAMPLES).map(([name, sample]) => {
    const id = RUN_IDS[name as keyof typeof SAMPLES];
    const run = { ...json(sample.run), id };
    const timeline = timelineOf({ ...sample, run: { ...sample.run, id } });
    const fill = { events: 12, bytes: 4_100, percent: 0, limits: null };
    return [
      id,
      {
        run,
        result: timeline.result ?? null,
        runMessages: [],
        sent: { messages: [], startedWith: [], complete: true },
        children: [],
        fill,
        now: sample.now,
        timeline,
      },
    ];
  }),
);

const MESSAGE_ID = '0199f3a0-7b20-7e01-8a2f-6f1d7a0c9e11';
const PARKED_ID = '0199f3a0-7b20-7e01-8a2f-6f1d7a0c9e12';
export const IDS = { message: MESSAGE_ID, parked: PARKED_ID };

const messages: readonly WireMessage[] = Array.from({ length: 30 }, (_, index) => ({
  seq: 91_204 - index,
  id: index === 0 ? MESSAGE_ID : idOf(100 + index),
  topic: ['order.placed', 'stock.reserve', 'payment.charge', 'order.confirmed'][index % 4] ?? '',
  key: `o-${4_711 - (index >> 2)}`,
  createdAt: ago(1_200 + index * 1_830),
  ageMs: 1_200 + index * 1_830,
  payloadBytes: 180 + index * 37,
}));

const message: WireMessageDetails = {
  ...messages[0]!,
  lane: 12,
  xid: '748211',
  envelope: {
    specversion: '1.0',
    id: MESSAGE_ID,
    type: 'order.placed',
    source: 'orders',
    correlationid: 'o-4711',
    headers: { 'holdfast-saga': RUN_IDS.stuck, 'holdfast-call': 'reserve', 'holdfast-role': 'command' },
    data: {
      orderId: 'o-4711',
      total: 9_950,
      note: '<script>alert(1)</script> \u202Ehidden',
      lines: [{ sku: 'a', count: 2 }],
    },
  },
  subscriptions: [
    { subscription: 'main', shard: 0, state: 'passed' },
    { subscription: 'search', shard: 0, state: 'waiting' },
  ],
  consumers: [
    { consumer: 'billing', state: 'handled', at: ago(900) },
    { consumer: 'shipping', state: 'parked', at: ago(700) },
  ],
};

const parked: readonly WireParked[] = [
  {
    kind: 'consumer',
    where: 'shipping',
    id: PARKED_ID,
    seq: null,
    topic: 'order.placed',
    key: 'o-4711',
    state: 'dead',
    reason: 'attempts used up',
    error: 'TypeError: Cannot read properties of undefined (reading "street")\n    at ship (shipping.ts:41:18)',
    attempts: 8,
    parkedAt: ago(5_400_000),
    parkedForMs: 5_400_000,
    retryInMs: null,
  },
  {
    kind: 'consumer',
    where: 'shipping',
    id: idOf(201),
    seq: null,
    topic: 'order.changed',
    key: 'o-4711',
    state: 'behind',
    reason: 'an earlier message of its key is parked',
    error: null,
    attempts: 0,
    parkedAt: ago(5_100_000),
    parkedForMs: 5_100_000,
    retryInMs: null,
  },
  {
    kind: 'relay',
    where: 'main',
    id: idOf(202),
    seq: 90_113,
    topic: 'report.made',
    key: null,
    state: 'failed',
    reason: 'the broker refuses it',
    error: 'HF_MESSAGE_REFUSED: the job is larger than 10 MB',
    attempts: 3,
    parkedAt: ago(64_000),
    parkedForMs: 64_000,
    retryInMs: 21_000,
  },
];

const parkedDetails: WireParkedDetails = {
  ...parked[0]!,
  data: { orderId: 'o-4711', address: null },
  waitingBehind: 1,
  headId: null,
};

function overview(): WireOverview {
  const wave = (index: number): number => 1_150 + 240 * Math.sin(index / 9) + 60 * Math.sin(index * 2.1);
  return {
    at: new Date().toISOString(),
    relay: {
      schema: 'holdfast',
      log: { newestSeq: 91_204, oldestSeq: 12, oldestAgeMs: 86_000_000 },
      subscriptions: [
        {
          name: 'main',
          shard: 0,
          shards: 1,
          lease: { owner: 'relay-7f9c/1', epoch: 4, remainingMs: 9_200 },
          live: true,
          high: 91_190,
          behind: 14,
          oldestUnpublishedAgeMs: 380,
          published: 91_190,
          ratePerSecond: 1_204,
          drainMs: 12,
          advancedAgoMs: 40,
          trouble: null,
          stalls: 0,
          probing: false,
          retentionMs: 86_400_000,
          parked: { failed: 1, behind: 0, dead: 0 },
        },
        {
          name: 'search',
          shard: 0,
          shards: 1,
          lease: { owner: 'relay-7f9c/1', epoch: 2, remainingMs: 0 },
          live: false,
          high: 88_002,
          behind: 3_202,
          oldestUnpublishedAgeMs: 92_000,
          published: 88_002,
          ratePerSecond: 0,
          drainMs: null,
          advancedAgoMs: 92_000,
          trouble: 'connect ECONNREFUSED 10.0.0.7:6379',
          stalls: 2,
          probing: false,
          retentionMs: 86_400_000,
          parked: { failed: 0, behind: 0, dead: 0 },
        },
      ],
      scheduled: { count: 42, nextInMs: 31_000 },
      consumers: [{ consumer: 'shipping', failed: 0, behind: 1, dead: 1, oldestAgeMs: 5_400_000 }],
      replays: [],
    },
    sagas: {
      counts: {
        atLeast: false,
        counts: [
          { saga: 'place-order', status: 'running', runs: 118 },
          { saga: 'place-order', status: 'completed', runs: 8_210 },
          { saga: 'place-order', status: 'compensated', runs: 412 },
          { saga: 'place-order', status: 'compensating', runs: 6 },
          { saga: 'place-order', status: 'stuck', runs: 2 },
          { saga: 'approve-expense', status: 'waiting', runs: 97 },
          { saga: 'approve-expense', status: 'completed', runs: 1_024 },
        ],
      },
      stuck: [{ saga: 'place-order', runs: 2, oldestMs: 3_600_000 }],
      due: [],
      workers: [
        {
          id: idOf(301),
          name: 'worker-a',
          sagas: ['place-order@1', 'approve-expense@1'],
          codes: {},
          live: true,
          leaseMs: 11_000,
          draining: false,
          startedAt: ago(7_200_000),
          runs: 121,
        },
        {
          id: idOf(302),
          name: 'worker-b',
          sagas: ['place-order@1'],
          codes: {},
          live: true,
          leaseMs: 8_000,
          draining: true,
          startedAt: ago(90_000_000),
          runs: 4,
        },
      ],
      unrunnable: [],
      childless: [],
      grown: [],
    },
    objectives: [
      { subscription: 'main', objectiveMs: 30_000 },
      { subscription: 'search', objectiveMs: 60_000 },
    ],
    alerts,
    history: Array.from({ length: 180 }, (_, index) => ({
      at: ago((180 - index) * 5_000),
      published: wave(index),
      written: wave(index + 1) * 0.99,
      lag: 14,
      oldestMs: index > 160 ? (index - 160) * 4_600 : 300 + 200 * Math.abs(Math.sin(index)),
      parked: index > 90 ? 3 : 2,
      runs: { due: 3, stuck: index > 120 ? 2 : 0 },
    })),
  };
}

const sagas: readonly DeclaredSaga[] = [
  {
    name: 'place-order',
    version: 1,
    deadlineMs: 3_600_000,
    signals: [],
    steps: [
      { name: 'reserve', kind: 'command', pivot: false, compensated: true, topic: 'stock.reserve', child: null },
      { name: 'charge', kind: 'step', pivot: false, compensated: true, topic: null, child: null },
      { name: 'ship', kind: 'command', pivot: true, compensated: false, topic: 'order.ship', child: null },
      { name: 'confirm', kind: 'emit', pivot: false, compensated: false, topic: 'order.confirmed', child: null },
    ],
  },
];

const audit: readonly AsJson<AuditedAct>[] = [
  {
    id: '9',
    at: ago(61_000),
    actor: 'dashboard:ada',
    action: 'saga.retry',
    subject: RUN_IDS.stuck,
    reason: 'the bank is back',
    details: { status: 'stuck' },
    byRole: 'holdfast_operator',
  },
  {
    id: '8',
    at: ago(3_600_000),
    actor: 'bert@desk',
    action: 'parked.discard',
    subject: `shipping/${PARKED_ID}`,
    reason: 'a test message',
    details: { kind: 'consumer' },
    byRole: null,
  },
];

const diagnosis: WireDiagnosis = {
  checks: ['schema', 'server', 'sessions', 'flow'],
  findings: [
    {
      level: 'error',
      check: 'postgres.fsync',
      what: 'fsync is off.',
      why: 'It hurts sooner or later.',
      repair: 'holdfast relay',
      advice: 'Turn it on: committed messages are lost when the server crashes.',
    },
    {
      level: 'warn',
      check: 'flow.behind',
      what: 'The subscription search is 3,202 messages behind.',
      why: 'It hurts sooner or later.',
      repair: 'holdfast relay',
      advice: 'Start a relay for it.',
    },
    {
      level: 'note',
      check: 'schema.newer',
      what: 'The tables are newer than this package.',
      why: 'It hurts sooner or later.',
      repair: 'holdfast relay',
      advice: 'Fine during a deployment.',
    },
  ],
};

const list = <T>(items: readonly T[], next: string | null = null): ListPage<T> => ({ items, next });

export const SESSION: SessionFacts = {
  actor: 'ada',
  role: 'operator',
  canLogout: true,
  csrfHeader: 'x-holdfast-csrf',
  version: '0.1.0',
  schema: 'holdfast',
  redact: false,
};

/** What GET /api/PATH answers; undefined: 404. */
export function answerOf(path: string, query: URLSearchParams): unknown {
  const [section, id] = path.split('/');
  switch (section) {
    case 'overview':
      return overview();
    case 'messages':
      if (id !== undefined) return id === MESSAGE_ID ? message : undefined;
      return query.get('key') === 'nobody'
        ? list([])
        : list(
            messages.filter(({ key }) => key === (query.get('key') ?? key)),
            '91174',
          );
    case 'parked':
      if (id !== undefined) return id === PARKED_ID ? { places: [parkedDetails] } : undefined;
      return list(
        parked.filter(({ where, key }) => where === (query.get('where') ?? where) && key === (query.get('key') ?? key)),
      );
    case 'runs':
      if (id !== undefined) return pages.get(id);
      return list(
        runs.filter(
          ({ status, key }) =>
            (query.get('status') ?? status).split(',').includes(status) && key === (query.get('key') ?? key),
        ),
      );
    case 'sagas':
      return { known: true, items: sagas };
    case 'workers':
      return { items: overview().sagas?.workers };
    case 'subscriptions':
      return { items: overview().relay.subscriptions.map((each) => ({ ...each, topics: ['order.*'] })) };
    case 'audit':
      return list(audit);
    case 'alerts':
      return alerts;
    case 'doctor':
      return diagnosis;
    default:
      return undefined;
  }
}

/**
 * What the API would answer, for tests of the page without a database: typed as the contract has it, so that it cannot drift.
 */
import type { TimelineView } from '../../src/cli/output/timeline.ts';
import type { AuditedAct } from '../../src/operations/reads/audit.ts';
import { adviseStuck } from '../../src/operations/sagas/saga-advice.ts';
import { foldTimeline } from '../../src/operations/sagas/saga-timeline.ts';
import type { AsJson, ListPage, SessionFacts } from '../../src/dashboard/server/contract.ts';
import type {
  WireDiagnosis,
  WireMessage,
  WireMessageDetails,
  WireParked,
  WireParkedDetails,
  WireRun,
  WireRunPage,
  WireSearched,
  WireTimeline,
} from '../../src/dashboard/page/app/wire.ts';
import { sampleAlerts as alerts } from './sample-alerts.ts';
import { groups, jobs } from './sample-mend.ts';
import { DECLARED, DUE, LIMITS } from './sample-plan.ts';
import { QUEUES } from './sample-queues.ts';
import { compensated, completed, inDoubt, parallel, skipped, stuck, waiting } from '../cli/sample-runs.ts';
import { overview } from './sample-overview.ts';
import { findingsOf, idOf, pathAnswer, sentOf } from './sample-path.ts';

/** As it arrives. */
const json = <T>(value: T): AsJson<T> => JSON.parse(JSON.stringify(value)) as AsJson<T>;

export function timelineOf({ run, rows, now }: TimelineView): WireTimeline {
  const { stuck: place, ...timeline } = foldTimeline({ status: run.status, rows, now });
  const advice = place === null ? null : { ...place, advice: adviseStuck(run.id, place.why, place.call) };
  return json({ ...timeline, stuck: advice });
}

const SAMPLES = { completed, parallel, compensated, inDoubt, waiting, stuck, skipped };
export const RUN_IDS = Object.fromEntries(
  Object.keys(SAMPLES).map((name, index) => [name, idOf(index + 1)]),
) as Readonly<Record<keyof typeof SAMPLES, string>>;

const MESSAGE_ID = '0199f3a0-7b20-7e01-8a2f-6f1d7a0c9e11';
const PARKED_ID = '0199f3a0-7b20-7e01-8a2f-6f1d7a0c9e12';
export const IDS = { message: MESSAGE_ID, parked: PARKED_ID };
const SAMPLE = { message: MESSAGE_ID, run: RUN_IDS.stuck };

const now = Date.now();
const ago = (ms: number): string => new Date(now - ms).toISOString();

const runs: readonly WireRun[] = Object.entries(SAMPLES).map(([name, { run }]) =>
  json({ ...run, id: RUN_IDS[name as keyof typeof SAMPLES] }),
);

const pages = new Map<string, WireRunPage>(
  Object.entries(SAMPLES).map(([name, sample]) => {
    const id = RUN_IDS[name as keyof typeof SAMPLES];
    const run = { ...json(sample.run), id };
    const messages = name === 'stuck' ? sentOf(SAMPLE) : [];
    const told = timelineOf({ ...sample, run: { ...sample.run, id } });
    const calls = told.calls.map((call) => ({ ...call, messages: messages.filter((each) => each.call === call.call) }));
    const timeline = { ...told, calls };
    const fill = { events: 12, bytes: 4_100, percent: 0, limits: null };
    return [
      id,
      {
        run,
        result: timeline.result ?? null,
        runMessages: [],
        restarts: { of: null, as: null, keyGone: null },
        sent: { messages, startedWith: messages.slice(0, 1), complete: true },
        children: [],
        fill,
        now: sample.now,
        timeline,
      },
    ];
  }),
);

const messages: readonly WireMessage[] = Array.from({ length: 30 }, (_, index) => ({
  seq: 91_204 - index,
  id: index === 0 ? MESSAGE_ID : idOf(100 + index),
  topic: ['order.placed', 'stock.reserve', 'payment.charge', 'order.confirmed'][index % 4] ?? '',
  key: `o-${4_711 - (index >> 2)}`,
  createdAt: ago(1_200 + index * 1_830),
  ageMs: 1_200 + index * 1_830,
  payloadBytes: 180 + index * 37,
  correlationId: null,
  causationId: null,
  command: index % 4 === 1 ? { run: RUN_IDS.stuck, call: 'reserve', role: 'command' } : null,
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
    position: 811,
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
    position: 812,
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
    position: 90_113,
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
  revised: false,
  waitingBehind: 1,
  headId: null,
};

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
  databases: [{ name: 'main', schema: 'holdfast' }],
  redact: false,
  searchesValues: true,
};

const searched = <T>(items: readonly T[], older: string | null = null): WireSearched<T> => ({
  items,
  older,
  newer: items.length === 0 ? null : 'newer',
  looked: { rows: items.length, reached: ago(60_000), complete: true },
});
/** The time was up before anything was found. */
const shortOfTime: WireSearched<WireMessage> = {
  items: [],
  older: 'further',
  newer: null,
  looked: { rows: 21_000, reached: ago(7_200_000), complete: false },
};

/** What GET /api/PATH answers; undefined: 404. */
export function answerOf(path: string, query: URLSearchParams): unknown {
  const [section, id, part] = path.split('/');
  switch (section) {
    case 'overview':
      return overview();
    case 'messages':
      if (id !== undefined) return id !== MESSAGE_ID ? undefined : part === 'path' ? pathAnswer(SAMPLE) : message;
      if (query.has('payload') && !query.has('cursor')) return shortOfTime;
      return query.get('key') === 'nobody'
        ? searched([])
        : searched(
            messages.filter(({ key }) => key === (query.get('key') ?? key)),
            'older',
          );
    case 'find':
      return findingsOf(query.get('q') ?? '', SAMPLE);
    case 'jobs':
      return id === undefined ? list(jobs) : jobs.find((each) => each.id === id);
    case 'parked':
      if (id === 'groups') return groups;
      if (id !== undefined) return id === PARKED_ID ? { places: [parkedDetails] } : undefined;
      return list(
        parked.filter(({ where, key }) => where === (query.get('where') ?? where) && key === (query.get('key') ?? key)),
      );
    case 'runs':
      if (id !== undefined) return pages.get(id);
      return searched(
        runs.filter(
          ({ status, key }) =>
            (query.get('status') ?? status).split(',').includes(status) && key === (query.get('key') ?? key),
        ),
      );
    case 'sagas':
      return { known: true, items: DECLARED };
    case 'workers':
      return { items: overview().sagas?.workers };
    case 'subscriptions':
      return { items: overview().relay.subscriptions.map((each) => ({ ...each, topics: ['order.*'] })) };
    case 'queues':
      return QUEUES;
    case 'schedule':
      return DUE;
    case 'limits':
      return LIMITS;
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

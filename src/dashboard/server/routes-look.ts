/**
 * The routes that look: how things are, one message, what is parked, one run, and what people did. What searches is in routes-find.ts.
 */
import { z } from 'zod';
import { redactMessage, redactParked } from '../../operations/redaction/redact-message.ts';
import { listAudit } from '../../operations/reads/audit.ts';
import { showMessage } from '../../operations/reads/messages.ts';
import { routedTopics } from '../../operations/reads/routed-topics.ts';
import { showParked, type ParkedSummary } from '../../operations/parked/parked.ts';
import { searchParked } from '../../operations/parked/search-parked.ts';
import { relayStatus } from '../../operations/relay/relay-status.ts';
import { listWorkers } from '../../operations/sagas/saga-status.ts';
import { look, processLook, type ApiRoute } from './api-route.ts';
import type { LookedPage } from './contract.ts';
import { declaredSagas } from './declared-sagas.ts';
import { withoutData, withoutPayload, withoutValues } from './hidden.ts';
import { cursor, limit, lookFor, pageOf, text, time, topic } from './parameters.ts';
import { readRun } from './run-page.ts';

const overview = look({
  path: '/api/overview',
  summary: 'How relays and sagas are doing, and how it was in the last quarter of an hour.',
  answers: 'Overview',
  handle: (_request, services) => services.overview.latest(),
});

const live = look({
  path: '/api/live',
  isOwn: true,
  isStream: true,
  summary: 'The overview whenever it is read anew, as server-sent events.',
  answers: 'Events: overview (as GET /api/overview), trouble ({ code, message, advice }), end ({ why })',
  handle: ({ by, signal }, services) => services.live.open(by, signal),
});

const message = look({
  path: '/api/messages/:id',
  summary: 'Everything known about one message: its envelope, and how far subscriptions and consumers are with it.',
  answers: 'MessageDetails or { scheduled: ScheduledDetails }',
  async handle({ id }, { reads, facts, redact }) {
    const found = redactMessage(await showMessage(reads, id), redact);
    return facts.redact ? withoutPayload(found) : found;
  },
});

const parked = look({
  path: '/api/parked',
  summary:
    'Messages that relays could not publish or consumers could not handle: place by place, in each the oldest first. It looks for a bounded time, and says how far it looked.',
  answers: '{ items: ParkedSummary[], next, looked }',
  query: z.strictObject({
    kind: z.enum(['relay', 'consumer']).optional(),
    where: text.optional().describe('The subscription or consumer.'),
    topic,
    key: text.optional().describe('The key, whole.'),
    state: z.enum(['failed', 'behind', 'dead']).optional(),
    group: text.optional().describe('Id of a group.'),
    cursor: cursor.optional(),
    limit,
    lookFor,
  }),
  async handle({ query }, { reads }): Promise<LookedPage<ParkedSummary>> {
    const { parked: items, next, looked } = await searchParked(reads, query);
    return { items, next, looked };
  },
});

const parkedMessage = look({
  path: '/api/parked/:id',
  summary: 'Everything known about one parked message, in each place where it is parked.',
  answers: '{ places: ParkedDetails[] }',
  async handle({ id }, { reads, facts, redact }) {
    const places = (await showParked(reads, id)).map((each) => redactParked(each, redact));
    return { places: facts.redact ? withoutData(places) : places };
  },
});

const run = look({
  path: '/api/runs/:id',
  summary: 'Everything known about one run, as a story.',
  answers: 'RunStory',
  async handle({ id }, { reads, facts, redact }) {
    const page = await readRun(reads, id, redact);
    return facts.redact ? withoutValues(page) : page;
  },
});

const sagas = look({
  path: '/api/sagas',
  summary: 'The sagas as their code declares them, where this process knows it.',
  answers: '{ known: boolean, items: DeclaredSaga[] }',
  handle: (_request, services) => ({ known: services.sagas !== null, items: declaredSagas(services.sagas ?? []) }),
});

const workers = look({
  path: '/api/workers',
  summary: 'Workers, their leases, and what they have in memory.',
  answers: '{ items: WorkerStatus[] }',
  handle: async (_request, { reads }) => ({ items: await listWorkers(reads) }),
});

const subscriptions = look({
  path: '/api/subscriptions',
  summary: 'Subscriptions, who reads for them, and how far they are.',
  answers: '{ items: (SubscriptionStatus & { topics })[] }',
  async handle(_request, { reads }) {
    const [{ subscriptions: found }, topics] = await Promise.all([relayStatus(reads), routedTopics(reads)]);
    return { items: found.map((each) => ({ ...each, topics: topics.get(each.name) ?? null })) };
  },
});

const queues = look({
  path: '/api/queues',
  summary:
    'What lies in the brokers that this process was told of. They are asked at most every five seconds, whoever asks.',
  answers: '{ items: FoundQueue[], trouble: string | null }',
  async handle(_request, services) {
    const found = await services.queues();
    return { items: found?.queues ?? [], trouble: found?.trouble ?? null };
  },
});

const audit = look({
  path: '/api/audit',
  summary: 'What people did, newest first.',
  answers: '{ items: AuditedAct[], next }',
  query: z.strictObject({
    actor: text.optional(),
    action: text.optional(),
    subject: text.optional(),
    job: text.optional().describe('Id of a job: its start, all that it did, and its end.'),
    since: time.optional(),
    cursor: cursor.optional(),
    limit,
  }),
  async handle({ query }, { reads }) {
    const { cursor: before, limit: most, ...filter } = query;
    const found = await listAudit(reads, { ...filter, before, limit: most + 1 });
    return pageOf(found, most, ({ id }) => id);
  },
});

const doctor = look({
  path: '/api/doctor',
  summary: 'What will hurt. Asked at most every ten seconds, whoever asks.',
  answers: 'Diagnosis',
  handle: (_request, services) => services.doctor(),
});

const openapi = processLook({
  path: '/api/openapi.json',
  summary: 'This document.',
  answers: 'OpenAPI 3.1',
  handle: (_request, services) => services.openapi(),
});

export const LOOK_ROUTES: readonly ApiRoute[] = [
  overview,
  live,
  message,
  parked,
  parkedMessage,
  run,
  sagas,
  workers,
  subscriptions,
  queues,
  audit,
  doctor,
  openapi,
];

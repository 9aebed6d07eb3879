/**
 * The routes that search: what a name is the name of, one message's whole way, and the lists of messages and runs by what is in them.
 */
import { z } from 'zod';
import { findAnything } from '../../operations/path/find-anything.ts';
import { messagePath } from '../../operations/path/message-path.ts';
import { redactSummary } from '../../operations/redaction/redact-run.ts';
import { searchMessages } from '../../operations/reads/search-messages.ts';
import { searchRuns } from '../../operations/sagas/search-runs.ts';
import { RUN_STATUSES } from '../../operations/sagas/sagas.ts';
import { look, type ApiRoute } from './api-route.ts';
import {
  containedValue,
  flag,
  idPrefix,
  limit,
  lookFor,
  ownHeaders,
  searchCursor,
  text,
  time,
  topic,
  version,
} from './parameters.ts';
import { checkValueSearch } from './value-search.ts';

const find = look({
  path: '/api/find',
  summary: 'What a text is the name of: an id or how one begins, the key of a run or of messages, a correlation id.',
  answers: 'Findings',
  query: z.strictObject({
    q: z.string().min(1).max(1_024).describe('The text.'),
    cursor: searchCursor.optional().describe('`further` of an answer: looks further back among the messages.'),
    lookFor,
  }),
  handle: ({ query: { q, ...options } }, { reads }) => findAnything(reads, q, options),
});

const messagesPath = look({
  path: '/api/messages/:id/path',
  summary: 'The whole way of one message: what wrote it, where it has been, the run it belongs to, and what it led to.',
  answers: 'MessagePath',
  handle: ({ id }, { reads }) => messagePath(reads, id),
});

/** Of every list that is searched. */
const paging = { cursor: searchCursor.optional(), limit, lookFor };
const contains = 'contains this JSON value, as @> of PostgreSQL has it.';

const messages = look({
  path: '/api/messages',
  summary: 'Messages of the log that fit all that is given, newest first.',
  answers: '{ items: FoundMessage[], older, newer, looked }',
  query: z.strictObject({
    topic,
    key: text.optional().describe('The key, whole.'),
    id: idPrefix,
    correlation: text.optional().describe('The correlation id, whole.'),
    cause: text.optional().describe('The message whose handling sent it.'),
    since: time.optional(),
    until: time.optional(),
    payload: containedValue.optional().describe(`The payload ${contains}`),
    headers: ownHeaders.optional(),
    ...paging,
  }),
  async handle({ by, query }, services) {
    const { correlation, cause, ...search } = query;
    const { payload, headers } = search;
    checkValueSearch(by, services, { payload, headers });
    const page = { ...search, correlationId: correlation, causationId: cause };
    const { messages: items, ...ends } = await searchMessages(services.reads, page);
    return { items, ...ends };
  },
});

const statuses = z
  .string()
  .transform((given) => given.split(','))
  .pipe(z.array(z.enum(RUN_STATUSES)).min(1));

const runs = look({
  path: '/api/runs',
  summary:
    'Runs of sagas that fit all that is given, newest first: by start, or, where their end is asked for, by end.',
  answers: '{ items: RunSummary[], older, newer, looked }',
  query: z.strictObject({
    saga: text.optional(),
    version: version.optional(),
    status: statuses.optional().describe(`Some of ${RUN_STATUSES.join(', ')}, divided by commas.`),
    key: text.optional().describe('The key, whole.'),
    stuck: flag.describe('Only those that need a person.'),
    id: idPrefix,
    parent: text.optional().describe('The id of the run that started it.'),
    error: text.optional().describe('Of the error: its code or name, or a part of its message.'),
    since: time.optional(),
    until: time.optional(),
    updatedSince: time.optional(),
    updatedUntil: time.optional(),
    finishedSince: time.optional(),
    finishedUntil: time.optional(),
    input: containedValue.optional().describe(`The input ${contains}`),
    ...paging,
  }),
  async handle({ by, query }, services) {
    const { since, until, ...search } = query;
    checkValueSearch(by, services, { input: search.input });
    const page = await searchRuns(services.reads, { ...search, startedSince: since, startedUntil: until });
    const { runs: items, ...ends } = page;
    return { items: items.map((each) => redactSummary(each, services.redact)), ...ends };
  },
});

export const FIND_ROUTES: readonly ApiRoute[] = [find, messages, messagesPath, runs];

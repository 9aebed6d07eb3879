/**
 * The routes over all databases: how each of them is, what a name is the name of in any of them, and the way of a message from one to another.
 * They are there with one database as well, so that a program need not ask how many there are.
 */
import { z } from 'zod';
import { askEach } from '../../operations/databases/ask-each.ts';
import { findOver } from '../../operations/path/find-over.ts';
import { pathOver } from '../../operations/path/path-over.ts';
import { toAnswer } from './all-databases.ts';
import { processLook, type ApiRoute } from './api-route.ts';
import type { AllFindings, AllOverviews, WholePath } from './contract.ts';
import { failureOf } from './failure.ts';
import { overviewAmongOthers } from './live.ts';
import { lookFor } from './parameters.ts';

const overview = processLook({
  path: '/api/all/overview',
  summary: 'How relays and sagas are doing in each database, without history; and which one does not answer.',
  answers: 'AllOverviews',
  async handle(_request, { all }): Promise<AllOverviews> {
    const latest = await askEach(all.overviews, (each) => each.latest());
    return { items: latest.map((reading) => overviewAmongOthers(reading.database, reading)) };
  },
});

const live = processLook({
  path: '/api/all/live',
  isOwn: true,
  isStream: true,
  summary: 'The overview of each database whenever it is read anew, as server-sent events.',
  answers: 'Events: overview (as an item of GET /api/all/overview), end ({ why })',
  handle: ({ by, signal }, { all }) => all.live.open(by, signal),
});

const find = processLook({
  path: '/api/all/find',
  summary:
    'What a text is the name of, in each database; and which one does not answer. To look further back, ask one.',
  answers: 'AllFindings',
  query: z.strictObject({ q: z.string().min(1).max(1_024).describe('The text.'), lookFor }),
  async handle({ query }, { all }): Promise<AllFindings> {
    const found = await findOver(all.reads, query.q, { lookFor: query.lookFor });
    return { text: query.q.trim(), items: found.map(toAnswer) };
  },
});

const path = processLook({
  path: '/api/all/messages/:id/path',
  summary: 'The whole way of one message over all databases: from the outbox of one to the inbox of another.',
  answers: 'WholePath',
  async handle({ id }, { all }): Promise<WholePath> {
    const found = await pathOver(all.reads, id);
    const silent = found.silent.map(({ database, error }) => ({ database, failure: failureOf(error).body }));
    return { ...found.path, silent };
  },
});

export const ALL_ROUTES: readonly ApiRoute[] = [overview, live, find, path];

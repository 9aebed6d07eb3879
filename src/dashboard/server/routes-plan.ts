/**
 * The routes about what is due next, and about the limits in force.
 */
import { z } from 'zod';
import { limitsInForce } from '../../operations/reads/limits-in-force.ts';
import { listDue } from '../../operations/reads/list-due.ts';
import { look, type ApiRoute } from './api-route.ts';
import { limit } from './parameters.ts';

const schedule = look({
  path: '/api/schedule',
  summary:
    'What is due next: messages that were scheduled for later, and runs that wait for a time and are in no memory.',
  answers: 'NextDue',
  query: z.strictObject({ limit }),
  handle: ({ query }, { reads }) => listDue(reads, query),
});

const limits = look({
  path: '/api/limits',
  summary: 'The limits in force, as workers, relays and consumers have said.',
  answers: 'LimitsInForce',
  handle: (_request, { reads }) => limitsInForce(reads),
});

export const PLAN_ROUTES: readonly ApiRoute[] = [schedule, limits];

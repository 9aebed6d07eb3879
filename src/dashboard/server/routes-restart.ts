/**
 * The route that starts a run once more which has ended.
 */
import { z } from 'zod';
import { restartRun } from '../../operations/sagas/restart-run.ts';
import { act, type ApiRoute } from './api-route.ts';
import { commandLine } from './commands.ts';
import { reason } from './parameters.ts';
import { actorInAudit } from './routes-act.ts';

const restart = act({
  path: '/api/runs/:id/restart',
  summary: 'Starts a run that has ended once more, as a new run, which gets its key. Once for each run.',
  answers: '{ restarted: RestartedRun, command }',
  body: z.strictObject({
    version: z
      .union([z.number().int().min(1).max(2_147_483_647), z.literal('newest')])
      .optional()
      .describe("Of the saga; 'newest': that a live worker runs or this process knows. Left out: that of the run."),
    input: z
      .unknown()
      .optional()
      .describe('In place of the input that the run had. Checked where the saga is known here.'),
    reason,
  }),
  async handle({ id, body, by }, { acts, sagas }) {
    const { version, input, reason: why } = body;
    const options = { version, input, sagas: sagas ?? [] };
    const restarted = await restartRun(acts, id, options, { actor: actorInAudit(by), reason: why });
    const flags = {
      'saga-version': version,
      input: input === undefined ? undefined : JSON.stringify(input),
      reason: why,
    };
    return { restarted, command: commandLine(['saga', 'restart', id], flags) };
  },
});

export const RESTART_ROUTES: readonly ApiRoute[] = [restart];

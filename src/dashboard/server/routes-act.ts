/**
 * The routes that act. Each needs a reason, writes its row of the audit in the commit of the act (operations do that), and answers with
 * the command that does the same.
 */
import { z } from 'zod';
import { discardParked, dropSubscription, retryParked } from '../../operations/parked/interventions.ts';
import { redactMessage, redactParked } from '../../operations/redaction/redact-message.ts';
import { showMessage } from '../../operations/reads/messages.ts';
import { showParked } from '../../operations/parked/parked.ts';
import {
  cancelRun,
  resolveCall,
  retryRun,
  SETTLEMENTS,
  signalRun,
  skipCall,
} from '../../operations/sagas/saga-interventions.ts';
import { showAll } from '../../runtime/redact.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import { act, type ApiRoute, type ApiServices } from './api-route.ts';
import { commandLine, type CommandFlags } from './commands.ts';
import { RequestRefusal } from './failure.ts';
import { recordReveal } from './hidden.ts';
import { reason, text } from './parameters.ts';
import { readRun } from './run-page.ts';
import { ACTOR_PREFIX, type Asker } from './who-asks.ts';

/** How somebody at the dashboard stands in the audit. */
export function actorInAudit({ actor }: Pick<Asker, 'actor'>): string {
  return `${ACTOR_PREFIX}${actor}`;
}

const place = { subscription: text.optional(), consumer: text.optional() };

const retryPlaces = act({
  path: '/api/parked/retry',
  summary: 'Makes failed parked messages due now, each key in order.',
  answers: '{ places: RetriedPlace[], command }',
  body: z.strictObject({
    selection: z
      .strictObject({ id: text.optional(), key: text.optional(), all: z.boolean().optional(), ...place })
      .describe('Exactly one of id, key, all; the others narrow it to a place.'),
    withoutPredecessor: z
      .boolean()
      .optional()
      .describe('Consumers: a message whose predecessor is missing goes on without it.'),
    reason,
  }),
  async handle({ body, by }, { acts }) {
    const { selection, withoutPredecessor, reason: why } = body;
    const places = await retryParked(acts, selection, { actor: actorInAudit(by), reason: why, withoutPredecessor });
    const { id, key, all, subscription, consumer } = selection;
    const flags = { key, all, subscription, consumer, 'without-predecessor': withoutPredecessor, reason: why };
    return { places, command: commandLine(['parked', 'retry', id], flags) };
  },
});

const discard = act({
  path: '/api/parked/discard',
  summary: 'Gives a parked message up for good; what waited behind it goes on.',
  answers: '{ discarded: ParkedSummary, command }',
  body: z.strictObject({ selection: z.strictObject({ id: text, ...place }), reason }),
  async handle({ body, by }, { acts }) {
    const { selection, reason: why } = body;
    const discarded = await discardParked(acts, selection, { actor: actorInAudit(by), reason: why });
    const { id, subscription, consumer } = selection;
    return { discarded, command: commandLine(['parked', 'discard', id], { subscription, consumer, reason: why }) };
  },
});

const signal = act({
  path: '/api/runs/:id/signal',
  summary: 'Sends a signal to a run. Checked where this process knows the saga.',
  answers: '{ accepted: Accepted, command }',
  body: z.strictObject({
    name: text,
    payload: z.unknown().optional(),
    id: text.optional().describe('The same id is taken once.'),
    reason,
  }),
  async handle({ id, body, by }, services) {
    const { name, payload, id: signalId, reason: why } = body;
    const saga = await declaredBy(services, id);
    const who = { actor: actorInAudit(by), reason: why };
    const accepted = await signalRun(services.acts, id, { name, payload, id: signalId, saga }, who);
    const flags = { payload: payload === undefined ? undefined : JSON.stringify(payload), id: signalId };
    return { accepted, command: commandLine(['saga', 'signal', id, name], { ...flags, reason: why }) };
  },
});

/** Undefined: not known here, so that the signal goes unchecked; also of a run that is too large for a look. */
async function declaredBy({ reads, sagas }: ApiServices, id: string): Promise<AnySaga | undefined> {
  if (sagas === null) return undefined;
  const page = await readRun(reads, id, showAll).catch((error: unknown) => {
    if (error instanceof RequestRefusal) return null;
    throw error;
  });
  return sagas.find((each) => each.name === page?.run.saga && each.version === page.run.version);
}

const cancel = act({
  path: '/api/runs/:id/cancel',
  summary: 'Has a run compensated.',
  answers: '{ accepted: Accepted, command }',
  body: z.strictObject({ reason }),
  async handle({ id, body, by }, { acts }) {
    const accepted = await cancelRun(acts, id, { actor: actorInAudit(by), reason: body.reason });
    return { accepted, command: sagaCommand('cancel', [id], body) };
  },
});

const retry = act({
  path: '/api/runs/:id/retry',
  summary: 'Has a stuck run tried again where it stopped, with all its attempts anew.',
  answers: '{ accepted: Accepted, command }',
  body: z.strictObject({ reason }),
  async handle({ id, body, by }, { acts }) {
    const accepted = await retryRun(acts, id, { actor: actorInAudit(by), reason: body.reason });
    return { accepted, command: sagaCommand('retry', [id], body) };
  },
});

const call = z
  .string()
  .min(1)
  .max(500)
  .nullable()
  .default(null)
  .describe('The call; null: whatever the run is stuck at.');

const skip = act({
  path: '/api/runs/:id/skip',
  summary: 'Has the compensation that a run is stuck at left out: what the call did stays.',
  answers: '{ accepted: Accepted, command }',
  body: z.strictObject({ call, reason }),
  async handle({ id, body, by }, { acts }) {
    const accepted = await skipCall(acts, id, body.call, { actor: actorInAudit(by), reason: body.reason });
    return { accepted, command: sagaCommand('skip', [id, body.call], { reason: body.reason }) };
  },
});

const resolve = act({
  path: '/api/runs/:id/resolve',
  summary: 'Settles by hand what a run is stuck at.',
  answers: '{ accepted: Accepted, command }',
  body: z.strictObject({
    call,
    as: z.enum(SETTLEMENTS),
    output: z.unknown().optional().describe('Of what is done.'),
    reason,
  }),
  async handle({ id, body, by }, { acts }) {
    const { call: settled, as, output, reason: why } = body;
    const accepted = await resolveCall(
      acts,
      id,
      { call: settled, as, output },
      { actor: actorInAudit(by), reason: why },
    );
    const flags = { as: as.replace(' ', '-'), output: output === undefined ? undefined : JSON.stringify(output) };
    return { accepted, command: sagaCommand('resolve', [id, settled], { ...flags, reason: why }) };
  },
});

function sagaCommand(verb: string, words: readonly (string | null)[], flags: CommandFlags): string {
  return commandLine(['saga', verb, ...words], flags);
}

const drop = act({
  path: '/api/subscriptions/:id/drop',
  summary: 'Removes a subscription and gives up what it has not delivered.',
  answers: '{ dropped: DroppedSubscription, command }',
  role: 'admin',
  body: z.strictObject({
    discardParked: z.boolean().default(false).describe('Also when it has parked messages, which are then lost.'),
    reason,
  }),
  async handle({ id, body, by }, { acts }) {
    const dropped = await dropSubscription(acts, id, { actor: actorInAudit(by), ...body });
    const flags = { 'discard-parked': body.discardParked, reason: body.reason };
    return { dropped, command: commandLine(['subscription', 'drop', id], flags) };
  },
});

/** What is hidden is shown to whoever may act, and the audit says to whom. */
const reveals = [
  act({
    path: '/api/messages/:id/reveal',
    summary: 'A message with its payload, where payloads are hidden. Stands in the audit.',
    answers: 'MessageDetails or { scheduled: ScheduledDetails }',
    body: z.strictObject({ reason }),
    async handle({ id, body, by }, { reads, acts, redact }) {
      const found = redactMessage(await showMessage(reads, id), redact);
      await recordReveal(acts, { actor: actorInAudit(by), reason: body.reason, kind: 'message', subject: id });
      return found;
    },
  }),
  act({
    path: '/api/parked/:id/reveal',
    summary: 'A parked message with its payload, where payloads are hidden. Stands in the audit.',
    answers: '{ places: ParkedDetails[] }',
    body: z.strictObject({ reason }),
    async handle({ id, body, by }, { reads, acts, redact }) {
      const places = (await showParked(reads, id)).map((each) => redactParked(each, redact));
      await recordReveal(acts, { actor: actorInAudit(by), reason: body.reason, kind: 'parked', subject: id });
      return { places };
    },
  }),
  act({
    path: '/api/runs/:id/reveal',
    summary: 'A run with what it was given and gave out, where payloads are hidden. Stands in the audit.',
    answers: 'RunStory',
    body: z.strictObject({ reason }),
    async handle({ id, body, by }, { reads, acts, redact }) {
      const page = await readRun(reads, id, redact);
      await recordReveal(acts, { actor: actorInAudit(by), reason: body.reason, kind: 'run', subject: id });
      return page;
    },
  }),
];

export const ACT_ROUTES: readonly ApiRoute[] = [
  retryPlaces,
  discard,
  signal,
  cancel,
  retry,
  skip,
  resolve,
  drop,
  ...reveals,
];

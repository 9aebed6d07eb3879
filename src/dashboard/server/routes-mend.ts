/**
 * The routes that mend much at once or change what is there: groups of parked messages, acts on all that fit, as jobs, and new versions of
 * messages. An act on many is two requests: the first counts and shows, and changes nothing; the second says how many were shown.
 */
import { z } from 'zod';
import { JOB_STATES, type JobAct, type JobSummary } from '../../operations/jobs/job.ts';
import { abortJob, listJobs, planJob, resumeJob, showJob, startJob } from '../../operations/jobs/jobs.ts';
import { parkedGroups } from '../../operations/parked/parked-groups.ts';
import type { PayloadRevision } from '../../operations/parked/payload-revision.ts';
import { previewRevision, reviseParked, type RevisionPreview } from '../../operations/parked/revise.ts';
import { RUN_STATUSES } from '../../operations/sagas/sagas.ts';
import { SETTLEMENTS } from '../../operations/sagas/saga-interventions.ts';
import type { Duration } from '../../runtime/duration.ts';
import { REDACTED, showAll, type Redactor } from '../../runtime/redact.ts';
import { act, look, question, type ApiRoute, type ApiServices } from './api-route.ts';
import { commandLine, manyCommand, type ManyTerms } from './commands.ts';
import { RequestRefusal } from './failure.ts';
import { jobAsShown, withoutBoth } from './hidden.ts';
import { cursor, flag, limit, pageOf, reason, text, time, topic } from './parameters.ts';
import { actorInAudit } from './routes-act.ts';
import type { Asker } from './who-asks.ts';

const criteria = {
  subscription: text.optional().describe('Parked by the relay of this subscription.'),
  consumer: text.optional().describe('Parked by this consumer.'),
  topic,
  key: text.optional().describe('The key, whole.'),
  group: text.optional().describe('Id of a group.'),
  since: time.optional().describe('Parked at or after.'),
  until: time.optional().describe('Parked before.'),
};

const groups = look({
  path: '/api/parked/groups',
  summary: 'Failed parked messages by place, topic, reason and kind of error, the largest group first.',
  answers: 'ParkedGroups',
  query: z.strictObject({
    ...criteria,
    dead: flag.describe('Only those that nobody takes up again by itself.'),
    bucket: z
      .string()
      .regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/)
      .default('1h')
      .describe('Of the counts over time: 5m, 1h.'),
    limit,
  }),
  handle: ({ query }, { reads }) => {
    const { bucket, ...filter } = query;
    return parkedGroups(reads, { ...filter, bucket: bucket as Duration });
  },
});

const terms = {
  expect: z
    .number()
    .int()
    .min(0)
    .describe('How many were shown. When there are more by a tenth and ten, nothing is done.'),
  rate: z.number().min(0.1).nullable().optional().describe('A second, 500 by default; null: as fast as it goes.'),
  reason,
};

const manyParked = {
  act: z.enum(['retry', 'discard']),
  select: z
    .strictObject({
      ...criteria,
      dead: z.boolean().optional().describe('Only those that nobody takes up again by itself.'),
    })
    .describe('Which failed messages; empty: all. Those that wait behind them go on with them.'),
  withoutPredecessor: z
    .boolean()
    .optional()
    .describe('Retry, consumers: a message whose predecessor is missing goes on without it.'),
};
type ManyParked = z.output<z.ZodObject<typeof manyParked>>;

function actOnParked({ act: what, select, withoutPredecessor }: ManyParked): JobAct {
  if (what === 'retry')
    return { kind: 'parked.retry', select, ...(withoutPredecessor === true ? { withoutPredecessor } : {}) };
  if (withoutPredecessor === undefined) return { kind: 'parked.discard', select };
  throw new RequestRefusal(400, 'HF_REQUEST', 'withoutPredecessor is for retry.', { advice: 'Leave it out.' });
}

const planParked = question({
  path: '/api/parked/plan',
  summary: 'What an act on many parked messages would meet now. Changes nothing.',
  answers: 'JobPlan',
  body: z.strictObject(manyParked),
  handle: ({ body }, { reads }) => planJob(reads, actOnParked(body)),
});

const startParked = act({
  path: '/api/parked/act',
  summary: 'Starts a job that retries or discards all parked messages that fit.',
  answers: '{ job: JobSummary, command }',
  body: z.strictObject({ ...manyParked, ...terms }),
  async handle({ body, by }, services) {
    const { act: what, select, withoutPredecessor } = body;
    const job = await begin(services, actOnParked(body), by, body);
    const more = { 'without-predecessor': withoutPredecessor };
    return { job, command: manyCommand(['parked', what], select, body, more) };
  },
});

const manyRuns = {
  act: z.enum(['retry', 'cancel', 'skip', 'resolve']),
  select: z
    .strictObject({
      saga: text.optional(),
      version: z.number().int().min(1).optional(),
      error: text.optional().describe('Its code or name, or a part of its message.'),
      since: time.optional().describe('Started at or after.'),
      until: time.optional().describe('Started before.'),
      status: z.array(z.enum(RUN_STATUSES)).min(1).optional().describe('Cancel only: these instead of all under way.'),
    })
    .describe('Which runs: stuck ones, or for cancel those under way; empty: all.'),
  resolution: z
    .strictObject({ as: z.enum(SETTLEMENTS), output: z.unknown().optional().describe('Of what is done.') })
    .optional()
    .describe('Resolve only: what became of what each is stuck at.'),
};
type ManyRuns = z.output<z.ZodObject<typeof manyRuns>>;

function actOnRuns({ act: what, select, resolution }: ManyRuns): JobAct {
  if (what === 'resolve' && resolution !== undefined)
    return { kind: 'saga.resolve', select, resolution: { call: null, ...resolution } };
  if (what !== 'resolve' && resolution === undefined) return { kind: `saga.${what}`, select };
  throw new RequestRefusal(400, 'HF_REQUEST', `resolution is ${what === 'resolve' ? 'needed' : 'for resolve'}.`, {
    advice: "Resolve takes a resolution, such as { as: 'not done' }, and nothing else does.",
  });
}

const planRuns = question({
  path: '/api/runs/plan',
  summary: 'What an act on many runs would meet now. Changes nothing.',
  answers: 'JobPlan',
  body: z.strictObject(manyRuns),
  handle: ({ body }, { reads }) =>
    // Which they are does not depend on what they are resolved as.
    planJob(reads, body.act === 'resolve' ? { kind: 'saga.retry', select: body.select } : actOnRuns(body)),
});

const startRuns = act({
  path: '/api/runs/act',
  summary: 'Starts a job that retries, cancels, skips or resolves all runs that fit.',
  answers: '{ job: JobSummary, command }',
  body: z.strictObject({ ...manyRuns, ...terms }),
  async handle({ body, by }, services) {
    const { act: what, select, resolution } = body;
    const job = await begin(services, actOnRuns(body), by, body);
    const output = resolution?.output === undefined ? undefined : JSON.stringify(resolution.output);
    const more = { as: resolution?.as.replace(' ', '-'), output };
    return { job, command: manyCommand(['saga', what], select, body, more) };
  },
});

async function begin(services: ApiServices, what: JobAct, by: Asker, { expect, rate, reason: why }: ManyTerms) {
  const start = { actor: actorInAudit(by), reason: why, expected: expect, ...(rate === undefined ? {} : { rate }) };
  const job = await startJob(services.acts, what, start);
  // If this process dies here, whoever looks for jobs that were left finds it.
  services.jobs.take(job.id);
  return shown(job, services);
}

const shown = (job: JobSummary, { facts, redact }: ApiServices) => jobAsShown(job, { hidden: facts.redact, redact });

const jobs = look({
  path: '/api/jobs',
  summary: 'Acts on many, newest first.',
  answers: '{ items: JobSummary[], next }',
  query: z.strictObject({
    state: z.enum(JOB_STATES).optional(),
    orphaned: flag.describe('Only open ones that nobody works on.'),
    cursor: cursor.optional(),
    limit,
  }),
  async handle({ query }, services) {
    const { cursor: before, limit: most, ...filter } = query;
    const found = await listJobs(services.reads, { ...filter, before, limit: most + 1 });
    return pageOf(
      found.map((job) => shown(job, services)),
      most,
      ({ id }) => id,
    );
  },
});

const job = look({
  path: '/api/jobs/:id',
  summary: 'One act on many: what it is for, how far it is, what was passed over or failed.',
  answers: 'JobSummary',
  handle: async ({ id }, services) => shown(await showJob(services.reads, id), services),
});

const abort = act({
  path: '/api/jobs/:id/abort',
  summary: 'Ends a job for good; what it has done stays done.',
  answers: '{ job: JobSummary, command }',
  body: z.strictObject({ reason }),
  async handle({ id, body, by }, services) {
    const ended = await abortJob(services.acts, id, { actor: actorInAudit(by), reason: body.reason });
    return { job: shown(ended, services), command: commandLine(['job', 'abort', id], { reason: body.reason }) };
  },
});

const resume = act({
  path: '/api/jobs/:id/resume',
  summary: 'Goes on with an open job that nobody works on.',
  answers: '{ job: JobSummary, command }',
  body: z.strictObject({ reason }),
  async handle({ id, body, by }, services) {
    const found = await resumeJob(services.acts, id, { actor: actorInAudit(by), reason: body.reason });
    if (found.state === 'open') services.jobs.take(id);
    return { job: shown(found, services), command: commandLine(['job', 'resume', id]) };
  },
});

const edited = {
  subscription: text.optional(),
  consumer: text.optional().describe('Where it is parked, when it is in several places.'),
  payload: z.unknown().optional().describe('The new payload, whole. This or a patch.'),
  patch: z.unknown().optional().describe('What is different, as a JSON merge patch (RFC 7396).'),
};
type Edited = z.output<z.ZodObject<typeof edited>>;

function revisionOf(body: Edited): PayloadRevision {
  const given = ['payload', 'patch'].filter((name) => Object.hasOwn(body, name));
  if (given.length === 1) return given[0] === 'payload' ? { payload: body.payload } : { patch: body.patch };
  throw new RequestRefusal(400, 'HF_REQUEST', 'A payload or a patch is needed, and not both.', {
    advice: 'Give one of them.',
  });
}

/**
 * Whoever edits what this API showed them has not seen what is redacted, nor figures that JavaScript has altered, and would write over
 * them.
 */
function refuseUnseen(revision: PayloadRevision, { before, exact }: RevisionPreview, redact: Redactor): void {
  const why = ((): string | null => {
    if (JSON.stringify(revision).includes(JSON.stringify(REDACTED)) && !isAllShown(before, redact))
      return 'It would write over what is redacted';
    if (!('payload' in revision)) return null;
    if (!exact) return 'The message has numbers that JavaScript alters, which would be written over';
    return isAllShown(before, redact) ? null : 'A part of the message is redacted, and would be written over';
  })();
  if (why === null) return;
  throw new RequestRefusal(400, 'HF_REQUEST', `${why}.`, {
    advice: 'Send a patch with what is different and nothing else, or use `holdfast parked edit --payload-file`.',
  });
}

function isAllShown(value: unknown, redact: Redactor): boolean {
  return JSON.stringify(asShown(value, redact)) === JSON.stringify(value);
}

/** A text may have anything in it, so it is hidden whole where anything is. */
function asShown(value: unknown, redact: Redactor): unknown {
  return typeof value === 'string' && redact !== showAll ? REDACTED : redact(value);
}

const previewEdit = question({
  path: '/api/parked/:id/revise/preview',
  summary: 'What an edited message would be, beside what it is. Changes nothing.',
  answers: 'RevisionPreview',
  body: z.strictObject(edited),
  async handle({ id, body }, { acts, facts, redact }) {
    const { subscription, consumer } = body;
    const revision = revisionOf(body);
    const preview = await previewRevision(acts, { id, subscription, consumer }, revision);
    refuseUnseen(revision, preview, redact);
    const { before, after } = preview;
    return facts.redact
      ? withoutBoth(preview)
      : { ...preview, before: asShown(before, redact), after: asShown(after, redact) };
  },
});

const edit = act({
  path: '/api/parked/:id/revise',
  summary: 'Puts a new version of a parked message in its place.',
  answers: '{ revised: RevisedMessage, command }',
  body: z.strictObject({ ...edited, reason }),
  async handle({ id, body, by }, { acts, redact }) {
    const { subscription, consumer, reason: why } = body;
    const revision = revisionOf(body);
    const selection = { id, subscription, consumer };
    refuseUnseen(revision, await previewRevision(acts, selection, revision), redact);
    const revised = await reviseParked(acts, selection, revision, { actor: actorInAudit(by), reason: why });
    const given = Object.fromEntries(Object.entries(revision).map(([name, value]) => [name, JSON.stringify(value)]));
    const flags = { subscription, consumer, ...given, yes: true, reason: why };
    return { revised, command: commandLine(['parked', 'edit', id], flags) };
  },
});

export const MEND_ROUTES: readonly ApiRoute[] = [
  groups,
  planParked,
  startParked,
  planRuns,
  startRuns,
  jobs,
  job,
  abort,
  resume,
  previewEdit,
  edit,
];

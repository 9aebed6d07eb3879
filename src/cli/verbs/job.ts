/**
 * `holdfast job ls | show | abort | resume`, and the way every verb that acts on many takes: shows what it would meet; when --yes is said,
 * starts a job and works it off, with a line of progress.
 */
import { HoldfastError } from '../../errors.ts';
import { countOf, type JobAct, type JobState, type JobSummary } from '../../operations/jobs/job.ts';
import { resumeAndRunJob, runJob, type RunJobOptions } from '../../operations/jobs/job-runner.ts';
import { abortJob, listJobs, planJob, showJob, startJob, type JobPlan } from '../../operations/jobs/jobs.ts';
import { visible } from '../../runtime/terminal-text.ts';
import { EXIT } from '../exit-codes.ts';
import { formatCount, formatRate, formatTime, plural } from '../output/format.ts';
import type { Ui, VerbReport } from '../output/report.ts';
import { formatFacts, formatTable } from '../output/table.ts';
import { actorOf, numberFlag, textFlag, withDatabase, type Context } from '../verb.ts';

/** What an act does to those that it meets, in words. */
export const DOES: Readonly<Record<JobAct['kind'], string>> = {
  'parked.retry': 'try again',
  'parked.discard': 'give up for good',
  'saga.retry': 'try again',
  'saga.cancel': 'have compensated',
  'saga.skip': 'leave out what is stuck in',
  'saga.resolve': 'resolve',
};

/** How what it would meet is shown. */
export type FormatPlan = (plan: JobPlan, ui: Ui) => string;

/** Counts and shows; acts when --yes is said and --dry-run is not. */
export async function actOnMany(context: Context, act: JobAct, format: FormatPlan): Promise<VerbReport> {
  return withDatabase(context, async (database) => {
    const plan = await planJob(database, act);
    if (context.flags['yes'] !== true || context.flags['dryRun'] === true || plan.count === 0) {
      return { json: { dryRun: true, ...plan }, text: (ui) => formatPlanned(plan, act, format, ui) };
    }
    const reason = textFlag(context, 'reason');
    if (reason === undefined) {
      throw new HoldfastError('HF_CONFIG', 'An act on many needs a reason.', {
        advice: 'Give --reason; it stands in the audit with each of them.',
      });
    }
    const expected = numberFlag(context, 'expect', '--expect');
    const rate = rateOf(context);
    const { id } = await startJob(database, act, {
      actor: actorOf(context),
      reason,
      ...(rate === undefined ? {} : { rate }),
      expected: expected ?? plan.count,
    });
    return workThrough(context, (options) => runJob(database, id, options));
  });
}

function formatPlanned(plan: JobPlan, act: JobAct, format: FormatPlan, ui: Ui): string {
  const { style } = ui;
  const [what] = act.kind.split('.');
  const noun = what === 'parked' ? 'message' : 'run';
  if (plan.count === 0) return `No ${noun} fits; nothing was done.`;
  return [
    `${style.bold(`Would ${DOES[act.kind]}`)} ${plan.atLeast ? 'more than ' : ''}${plural(plan.count, noun)}:`,
    format(plan, ui),
    style.dim(`For example: ${plan.sample.join(', ')}`),
    `Nothing was done: add --yes --expect ${plan.count} and --reason '…'.`,
  ].join('\n');
}

/** Acts per second; 'max': as fast as it goes. Throws HF_CONFIG. */
function rateOf(context: Context): number | null | undefined {
  const given = textFlag(context, 'rate');
  if (given === undefined) return undefined;
  if (given === 'max') return null;
  if (/^\d{1,9}(\.\d+)?$/.test(given)) return Number(given);
  throw new HoldfastError('HF_CONFIG', `--rate is ${JSON.stringify(given)}.`, {
    advice: 'Give how many a second, or max.',
  });
}

/** Has the job worked on until it ends, or until Ctrl-C, which leaves it open. */
export async function workThrough(
  context: Context,
  work: (options: RunJobOptions) => Promise<JobSummary>,
): Promise<VerbReport> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  const shows = process.stderr.isTTY && !context.json;
  try {
    const job = await work({
      signal: stop.signal,
      onProgress: (so) => {
        if (shows) process.stderr.write(`\r\u001B[K${visible(progressLine(so))}`);
      },
    });
    return reportOf(job);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    if (shows) process.stderr.write('\r\u001B[K');
  }
}

/** '1,200 of 5,000 done, 3 passed over'. */
function progressLine({ done, planned, passedOver, failed }: JobSummary): string {
  const parts = [`${formatCount(done)}${planned === null ? '' : ` of ${formatCount(planned)}`} done`];
  if (countOf(passedOver) > 0) parts.push(`${formatCount(countOf(passedOver))} passed over`);
  if (countOf(failed) > 0) parts.push(`${formatCount(countOf(failed))} failed`);
  return parts.join(', ');
}

function reportOf(job: JobSummary): VerbReport {
  return {
    json: { job },
    text: (ui) => {
      const { style } = ui;
      const head =
        job.state === 'done'
          ? style.green('Done:')
          : style.yellow(job.state === 'open' ? 'Stopped, and still open:' : 'Aborted:');
      const lines = [`${head} ${progressLine(job)}.`, ...troubles(job, ui)];
      if (job.state === 'open')
        lines.push(`Go on: holdfast job resume ${job.id}. End it: holdfast job abort ${job.id}.`);
      return [...lines, style.dim(`In the audit: holdfast audit --job ${job.id}`)].join('\n');
    },
    ...(job.state === 'open' ? { exitCode: EXIT.forced } : {}),
  };
}

function troubles({ state, passedOver, failed, examples }: JobSummary, { style }: Ui): readonly string[] {
  return [
    ...Object.entries(passedOver).map(
      ([code, count]) =>
        `${style.yellow('Passed over:')} ${formatCount(count)}, which ${passedOverWords(code, state)}.`,
    ),
    ...Object.entries(failed).map(([code, count]) => `${style.red('Failed:')} ${formatCount(count)} (${code}).`),
    ...examples.slice(0, 3).map(({ subject, message }) => style.dim(`  ${subject}: ${message}`)),
  ];
}

function passedOverWords(code: string, state: JobState): string {
  if (code === 'HF_NOT_FOUND') return 'were gone, or did not fit any more';
  if (code !== 'HF_LOCK_WAIT') return `had moved on (${code})`;
  return state === 'open'
    ? 'were being worked on: it comes back to them at the end'
    : 'were being worked on, each time it came back to them. Run it again for those that are still there';
}

export async function jobLs(context: Context): Promise<VerbReport> {
  const limit = numberFlag(context, 'limit', '--limit') ?? 20;
  const state = textFlag(context, 'state') as JobState | undefined;
  const filter = { limit, state, orphaned: context.flags['orphaned'] === true };
  const jobs = await withDatabase(context, (database) => listJobs(database, filter));
  return {
    json: { jobs, more: jobs.length === limit },
    text: (ui) => (jobs.length === 0 ? `No job${state === undefined ? '' : ` is ${state}`}.` : formatJobs(jobs, ui)),
  };
}

function formatJobs(jobs: readonly JobSummary[], ui: Ui): string {
  const { style } = ui;
  const paint = { open: style.yellow, done: style.green, aborted: style.dim };
  return formatTable(
    jobs,
    [
      { title: 'STATE', value: ({ state }) => state, paint: (cell, { state }) => paint[state](cell) },
      { title: 'ID', value: ({ id }) => id, paint: style.dim },
      { title: 'DOES', value: ({ act }) => act.kind },
      { title: 'PROGRESS', value: progressLine, shrink: 12 },
      { title: 'STARTED', value: ({ createdAt }) => formatTime(createdAt), optional: true },
      { title: 'BY', value: ({ actor }) => actor, shrink: 6, optional: true },
      { title: 'WHY', value: ({ reason }) => reason, shrink: 10, optional: true },
    ],
    ui,
  );
}

export async function jobShow(context: Context, [id = '']: readonly string[]): Promise<VerbReport> {
  const job = await withDatabase(context, (database) => showJob(database, id));
  return { json: { job }, text: (ui) => formatJob(job, ui) };
}

function formatJob(job: JobSummary, ui: Ui): string {
  const { style } = ui;
  const facts = formatFacts(
    [
      ['job', style.bold(job.id)],
      ['does', `${job.act.kind} ${JSON.stringify(job.act.select)}`],
      ['by', `${job.actor}: ${job.reason}`],
      ['state', job.state === 'open' ? openMeans(job) : job.state],
      ['progress', progressLine(job)],
      ['rate', job.rate === null ? 'as fast as it goes' : formatRate(job.rate)],
      ['started', formatTime(job.createdAt)],
      ...(job.finishedAt === null ? [] : [['ended', formatTime(job.finishedAt)] as const]),
    ],
    style,
  );
  const audit = ui.style.dim(`What it did: holdfast audit --job ${job.id}`);
  return [facts, ...troubles({ ...job, examples: [] }, ui), ...examplesOf(job), audit].join('\n');
}

function openMeans({ runner, id }: JobSummary): string {
  return runner === null ? `open, and nobody works on it: holdfast job resume ${id}` : `open, ${runner} works on it`;
}

function examplesOf({ examples }: JobSummary): readonly string[] {
  return examples.map(({ subject, message }) => `  ${subject}: ${message}`);
}

export async function jobAbort(context: Context, [id = '']: readonly string[]): Promise<VerbReport> {
  const by = { actor: actorOf(context), reason: textFlag(context, 'reason') };
  const job = await withDatabase(context, (database) => abortJob(database, id, by));
  return {
    json: { job },
    text: ({ style }) =>
      job.state === 'aborted'
        ? `${style.green('Aborted:')} ${progressLine(job)}. What is done stays done.`
        : `It is ${job.state} already: ${progressLine(job)}.`,
  };
}

export async function jobResume(context: Context, [id = '']: readonly string[]): Promise<VerbReport> {
  const by = { actor: actorOf(context), reason: textFlag(context, 'reason') };
  return withDatabase(context, (database) =>
    workThrough(context, (options) => resumeAndRunJob(database, id, by, options)),
  );
}

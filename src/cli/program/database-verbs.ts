/**
 * The verbs about the database and everything in it, their flags and help.
 */
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import type { VerbReport } from '../output/report.ts';
import { addActOptions, textFlag, type Context } from '../verb.ts';
import type { Shell } from './shell.ts';

const migrateVerbs = () => import('../verbs/migrate.ts');

export function addMigrateVerbs({ program, verb }: Shell): void {
  const migrate = verb(program, {
    name: 'migrate',
    description: 'create or update the tables of Holdfast',
    load: async () => (await migrateVerbs()).runMigrate,
  })
    .option('--dry-run', 'only show what would be applied, with its notes')
    .option('--to <version>', 'go no further than this version');
  verb(migrate, {
    name: 'status',
    description: 'which migrations are applied',
    load: async () => (await migrateVerbs()).runMigrateStatus,
  }).option('--check', 'exit code 10 when some are pending');
}

export function addStatusVerb({ printing, print }: Shell): void {
  printing(
    {
      name: 'status',
      description: 'lag, rate, leases, parked messages, and how sagas are doing',
      settings: ['redisUrl', 'natsUrl', 'rabbitmqUrl'],
    },
    async (context) => {
      const { status, watchStatus } = await import('../verbs/status.ts');
      if (context.flags['watch'] !== true) print(await status(context));
      else {
        await watchStatus(context, {
          intervalMs: intervalOf(context),
          print: (report) => print(cleared(report, context.json)),
        });
      }
      return null;
    },
  )
    .option('-w, --watch', 'again and again, until Ctrl-C')
    .option('--interval <duration>', 'with --watch (default: 2s)');
}

export function addAlertsVerb({ program, verb }: Shell): void {
  verb(program, {
    name: 'alerts',
    description: 'what is alerting now, since when, and whether somebody was told',
    load: async () => (await import('../verbs/alerts.ts')).runAlerts,
    settings: ['alertWebhook'],
  }).option('--test', 'send a test to hook and webhook, and show the answer');
}

export function addAdoptVerb({ program, verb }: Shell): void {
  const adopt = verb(program, {
    name: 'adopt',
    description: 'all goes on here: after a restore, a move, or for a copy that is to live on its own',
    load: async () => (await import('../verbs/adopt.ts')).runAdopt,
  });
  addActOptions(adopt, 'required');
}

export function addAuditVerb({ program, verb }: Shell): void {
  verb(program, {
    name: 'audit',
    description: 'what people did, newest first',
    load: async () => (await import('../verbs/audit.ts')).audit,
  })
    .option('--actor <name>', 'only what this one did')
    .option('--action <action>', 'only acts of this kind, such as parked.retry')
    .option('--subject <subject>', 'only what was done to this: a run id, a subscription, consumer/message id')
    .option('--job <id>', 'what this job did to each, its start and its end')
    .option('--since <time>', 'since: 30m, 2h, 7d ago, or a date')
    .option('--before <id>', 'older than this act: the next page')
    .option('--limit <n>', 'at most so many (default: 20)');
}

export function addDoctorVerb({ program, verb }: Shell): void {
  verb(program, {
    name: 'doctor',
    description: 'look for what will hurt: settings, leases, retention, sessions, stuck runs, Redis',
    load: async () => (await import('../verbs/doctor.ts')).runDoctor,
    settings: ['redisUrl', 'natsUrl', 'rabbitmqUrl'],
  });
}

function intervalOf(context: Context): number {
  const given = textFlag(context, 'interval') ?? '2s';
  return Math.max(200, parseDuration((/^\d+$/.test(given) ? Number(given) : given) as Duration, '--interval'));
}

/** The screen is written over, so that it does not flicker. */
function cleared(report: VerbReport, json: boolean): VerbReport {
  if (json || !process.stdout.isTTY) return report;
  return { ...report, text: (ui) => `\u001B[H\u001B[2J${report.text(ui)}` };
}

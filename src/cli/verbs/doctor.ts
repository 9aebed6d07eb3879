/**
 * `holdfast doctor`: looks for what will hurt, and says what to do.
 */
import { doctor, type Diagnosis } from '../../operations/doctor/doctor.ts';
import type { Finding } from '../../operations/doctor/finding.ts';
import { resolveRedisUrls } from '../config/servers.ts';
import { askableTransports } from '../config/transports.ts';
import { EXIT } from '../exit-codes.ts';
import { plural } from '../output/format.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import { IN_SECTIONS, overDatabases } from '../over.ts';
import type { Context } from '../verb.ts';

export async function runDoctor(context: Context): Promise<VerbReport> {
  const redisUrls = resolveRedisUrls(context.given, context.config);
  const transports = askableTransports(context.given, context.config);
  return overDatabases(
    context,
    async (database) => toReport(await doctor(database, { redisUrls, transports, ...prefixOf(context) })),
    IN_SECTIONS,
  );
}

function toReport(diagnosis: Diagnosis): VerbReport {
  const errors = diagnosis.findings.some(({ level }) => level === 'error');
  return {
    json: { ok: !errors, ...diagnosis },
    exitCode: errors ? EXIT.findings : EXIT.ok,
    text: (ui) => formatDiagnosis(diagnosis, ui),
  };
}

function prefixOf({ config }: Context): { readonly redisPrefix?: string } {
  const prefix = config.redis?.prefix;
  return prefix === undefined ? {} : { redisPrefix: prefix };
}

/** Of a repair that is shown to people; the whole stands in the JSON. */
const MOST_LINES = 15;

function formatDiagnosis({ findings, checks }: Diagnosis, { style }: Ui): string {
  const redis = checks.includes('redis') || checks.includes('transports') ? '' : ' Redis was not: give --redis-url.';
  const checked = style.dim(`Checked: ${checks.join(', ')}.${redis}`);
  if (findings.length === 0) return `${style.green('Nothing found:')} all is well.\n${checked}`;
  const mark = { error: style.red('error'), warn: style.yellow('warn '), note: style.cyan('note ') };
  const lines = findings.map(({ level, what, why, advice, check, repair }: Finding) =>
    [
      `${mark[level]}  ${what} ${style.dim(`[${check}]`)}`,
      `       ${style.dim(why)}`,
      `       ${style.dim('→')} ${advice}`,
      ...linesOf(repair).map((line) => `       ${style.dim('$')} ${line}`),
    ].join('\n'),
  );
  const counts = (['error', 'warn', 'note'] as const)
    .map((level) => [level, findings.filter((each) => each.level === level).length] as const)
    .filter(([, count]) => count > 0)
    .map(([level, count]) => plural(count, level === 'warn' ? 'warning' : level));
  return [...lines, '', `${style.bold(counts.join(', '))}. ${checked}`].join('\n');
}

function linesOf(repair: string | null): readonly string[] {
  const lines = repair?.split('\n') ?? [];
  if (lines.length <= MOST_LINES) return lines;
  return [
    ...lines.slice(0, MOST_LINES),
    `-- and ${plural(lines.length - MOST_LINES, 'line')} more: --json has all of it`,
  ];
}

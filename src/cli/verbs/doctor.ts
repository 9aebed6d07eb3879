/**
 * `holdfast doctor`: looks for what will hurt, and says what to do.
 */
import { doctor, type Diagnosis } from '../../operations/doctor/doctor.ts';
import type { Finding } from '../../operations/doctor/finding.ts';
import { resolveRedisUrls } from '../config/servers.ts';
import { EXIT } from '../exit-codes.ts';
import { plural } from '../output/format.ts';
import type { VerbReport, Ui } from '../output/report.ts';
import { withDatabase, type Context } from '../verb.ts';

export async function runDoctor(context: Context): Promise<VerbReport> {
  const redisUrls = resolveRedisUrls(context.given, context.config);
  const diagnosis = await withDatabase(context, (database) => doctor(database, { redisUrls, ...prefixOf(context) }));
  const errors = diagnosis.findings.some(({ level }) => level === 'error');
  return {
    json: { ok: !errors, ...diagnosis },
    exitCode: errors ? EXIT.findings : EXIT.ok,
    text: (ui) => formatDiagnosis(diagnosis, redisUrls.length > 0, ui),
  };
}

function prefixOf({ config }: Context): { readonly redisPrefix?: string } {
  const prefix = config.redis?.prefix;
  return prefix === undefined ? {} : { redisPrefix: prefix };
}

function formatDiagnosis({ findings, checks }: Diagnosis, redis: boolean, { style }: Ui): string {
  const checked = style.dim(
    `Checked: ${checks.filter((check) => redis || check !== 'redis').join(', ')}.${redis ? '' : ' Redis was not: give --redis-url.'}`,
  );
  if (findings.length === 0) return `${style.green('Nothing found:')} all is well.\n${checked}`;
  const mark = { error: style.red('error'), warn: style.yellow('warn '), note: style.cyan('note ') };
  const lines = findings.map(
    ({ level, what, advice, check }: Finding) =>
      `${mark[level]}  ${what} ${style.dim(`[${check}]`)}\n       ${style.dim('→')} ${advice}`,
  );
  const counts = (['error', 'warn', 'note'] as const)
    .map((level) => [level, findings.filter((each) => each.level === level).length] as const)
    .filter(([, count]) => count > 0)
    .map(([level, count]) => plural(count, level === 'warn' ? 'warning' : level));
  return [...lines, '', `${style.bold(counts.join(', '))}. ${checked}`].join('\n');
}

/**
 * What the doctor finds, on /metrics: asked rarely, on a clock of its own, never by who looks at the page. The names are documented in
 * docs/operations.md.
 */
import { HoldfastError } from '../../errors.ts';
import type { DoctorOptions, Finding } from '../../operations/doctor/finding.ts';
import type { Database } from '../../postgres/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import { defectOf } from '../../runtime/defect.ts';
import type { Logger } from '../../runtime/log.ts';
import { createLoop } from '../../runtime/loop.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import type { Service } from '../../runtime/service.ts';
import { withTimeout } from '../../runtime/timeout.ts';

export interface DoctorGaugesOptions {
  readonly metrics: Metrics;
  readonly database: Database;
  readonly intervalMs: number;
  readonly options: DoctorOptions;
  readonly clock: Clock;
  readonly log: Logger;
}

/** So that it is not asked while a process that has just started has better things to do, in milliseconds. */
const FIRST_MS = 30_000;
/** All its questions together, in milliseconds. */
const LONGEST_MS = 120_000;

type Labels = Pick<Finding, 'level' | 'check'>;

/** Asks for the first time half a minute after the start, or after the interval, if that is shorter. Never fails. */
export function createDoctorGauges(given: DoctorGaugesOptions): Service {
  const { metrics, database, intervalMs, options, clock, log } = given;
  const findings = metrics.gauge('holdfast_doctor_findings', 'Findings of the doctor.', ['level', 'check'] as const);
  const asked = metrics.gauge('holdfast_doctor_asked_timestamp_seconds', 'When the doctor was asked last, since 1970.');
  let shown: readonly Labels[] = [];
  let first = true;
  return createLoop({
    name: 'doctor',
    clock,
    log,
    async tick(signal) {
      // Processes that start together do not ask together.
      const delayMs = intervalMs * (0.9 + 0.2 * Math.random());
      if (first) {
        first = false;
        return Math.min(FIRST_MS, delayMs);
      }
      try {
        show(await ask(signal));
        asked.set({}, clock.now() / 1_000);
      } catch (error) {
        // No figure is better than one of before. A database that is away shows elsewhere.
        show([]);
        if (defectOf(error) !== null) log.error({ err: error }, 'the doctor failed, and not because of the database');
        else log.debug({ err: error }, 'the doctor could not ask the database');
      }
      return delayMs;
    },
    onError: () => intervalMs,
  });

  async function ask(signal: AbortSignal): Promise<readonly Finding[]> {
    const diagnosis = await withTimeout(
      // Loaded when it is asked, since nothing else needs it.
      async () => (await import('../../operations/doctor/doctor.ts')).doctor(database, options),
      {
        timeoutMs: LONGEST_MS,
        signal,
        onTimeout: () => new HoldfastError('HF_DATABASE_UNAVAILABLE', `It did not answer within ${LONGEST_MS} ms.`),
      },
    );
    return diagnosis.findings;
  }

  function show(found: readonly Finding[]): void {
    const counts = new Map<string, { readonly labels: Labels; count: number }>();
    for (const { level, check } of found) {
      const before = counts.get(`${level} ${check}`);
      if (before === undefined) counts.set(`${level} ${check}`, { labels: { level, check }, count: 1 });
      else before.count += 1;
    }
    // What was mended must go from the page as well.
    for (const labels of shown) if (!counts.has(`${labels.level} ${labels.check}`)) findings.remove(labels);
    for (const { labels, count } of counts.values()) findings.set(labels, count);
    shown = [...counts.values()].map(({ labels }) => labels);
  }
}

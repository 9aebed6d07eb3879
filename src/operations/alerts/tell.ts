/**
 * Tells notices: the log and the hook at the first attempt, the webhook until it has answered. At least once: a process that dies between
 * telling and noting that it did leaves the notice to be told again, with the same id.
 */
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';
import { decideRetry, type RetryPolicy } from '../../runtime/retry.ts';
import type { AlertNotice } from './alert.ts';
import type { ClaimedNotice, NoticeQueue } from './notice-queue.ts';
import { callWebhook, type WebhookTarget } from './webhook.ts';

export interface Teller {
  readonly webhook: WebhookTarget | null;
  readonly hook: (notice: AlertNotice) => void;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly crashPoint: CrashPoint;
  /** The hard stop. */
  readonly signal: AbortSignal;
}

/** A day: who answers after that is told by the next repeat, if it still goes on. */
const WEBHOOK_RETRY: RetryPolicy = {
  attempts: Infinity,
  baseMs: 2_000,
  capMs: 15 * 60_000,
  factor: 3,
  withinMs: 24 * 3_600_000,
};
const AT_ONCE = 8;
/** Beyond the time of the webhook itself, until somebody else may tell what was claimed. */
const HOLD_MS = 20_000;

/** Those that are due now. Resolves with how many there were: fewer than at once, so there is no more. */
export async function tellDue(queue: NoticeQueue, teller: Teller): Promise<{ readonly more: boolean }> {
  const claimed = await queue.claim(AT_ONCE, (teller.webhook?.timeoutMs ?? 0) + HOLD_MS);
  const told = await Promise.allSettled(claimed.map((each) => tellOne(queue, each, teller)));
  for (const each of told) if (each.status === 'rejected') throw each.reason;
  return { more: claimed.length === AT_ONCE };
}

async function tellOne(queue: NoticeQueue, claimed: ClaimedNotice, teller: Teller): Promise<void> {
  const { notice, attempts, ageMs } = claimed;
  const { webhook, hook, log, clock, random, crashPoint, signal } = teller;
  if (attempts === 0) {
    logNotice(notice, log);
    hook(notice);
  }
  if (webhook === null) return queue.done(notice.id);
  crashPoint('alerts.send:before');
  const answer = await callWebhook(webhook, notice, { clock, signal });
  crashPoint('alerts.send:after');
  if (answer.ok) return queue.done(notice.id);
  const decision = decideRetry(WEBHOOK_RETRY, { attempt: attempts + 1, elapsedMs: ageMs, permanent: false, random });
  const about = { alert: notice.kind, subject: notice.subject, attempts: attempts + 1, trouble: answer.trouble };
  if (decision.kind === 'give-up') {
    log.error(about, 'the webhook of alerts did not take one for a day; it is given up');
    return queue.done(notice.id);
  }
  if (attempts === 0) log.warn(about, 'the webhook of alerts did not take one; it is sent again for a day');
  return queue.later(notice.id, Math.max(decision.delayMs, answer.retryAfterMs ?? 0));
}

function logNotice({ status, kind, subject, count, since, again, summary, advice }: AlertNotice, log: Logger): void {
  const fields = { alert: kind, subject, count, since, ...(again ? { again } : {}) };
  if (status === 'resolved') log.info(fields, `alert resolved: ${summary}`);
  else log.error({ ...fields, advice }, `alert: ${summary}`);
}

/**
 * Alerts that push: looks at the figures that `holdfast status` shows, and tells log, hook and webhook what is wrong, once for all
 * processes that watch. Two loops: one looks, the other tells, so that a webhook which hangs holds up no look.
 */
import { hostname } from 'node:os';
import { systemClock } from '../../runtime/clock.ts';
import { noCrash } from '../../runtime/crash-point.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import { createLoop } from '../../runtime/loop.ts';
import { safeHook, safeLogger } from '../../runtime/observers.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { Service, StopOptions } from '../../runtime/service.ts';
import { createAlertStore } from './alert-store.ts';
import { createLooks } from './looks.ts';
import { createMemoryNotices } from './notice-queue.ts';
import { testNotice } from './notice.ts';
import { ALERT_SETTINGS, resolveAlerts, type AlertsOptions } from './options.ts';
import { createOwnWatch } from './own-watch.ts';
import { createAlertRounds } from './alert-rounds.ts';
import { tellDue, type Teller } from './tell.ts';
import { callWebhook } from './webhook.ts';

/** Watches, and tells. Made by {@link createAlerts}. */
export interface Alerts extends Service {
  /** One look now, if it is this process's turn, and what came of it is told. For tests. */
  tick(): Promise<void>;
  /** Tells hook and webhook of a test, once, started or not. */
  test(): Promise<AlertTest>;
}

/** What became of a test of alerts. */
export interface AlertTest {
  /** Of the notice. */
  readonly id: string;
  /** How the webhook answered; null where there is none. */
  readonly webhook: {
    readonly ok: boolean;
    /** Null: no answer came. */
    readonly status: number | null;
    /** Null: it took it. */
    readonly trouble: string | null;
    /** The beginning of its answer. */
    readonly body: string;
  } | null;
}

const WHERE = 'createAlerts';
const KNOWN = [...ALERT_SETTINGS, 'database', 'name', 'workers', 'log', 'clock', 'random', 'crashPoint'];

/**
 * Opens nothing before `start`. Processes that watch the same database take turns, so each should have the same settings: whose turn it is
 * tells what is to be told.
 *
 * @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN, HF_DURATION
 * @example
 * const alerts = createAlerts({
 *   database,
 *   webhook: { url: 'https://hooks.example.com/holdfast', secret: process.env['HOOK_SECRET'] ?? '' },
 *   onAlert: ({ status, summary }) => console.log(status, summary),
 *   objectives: { reports: '1h' },
 * });
 * await alerts.start();
 */
export function createAlerts(options: AlertsOptions): Alerts {
  refuseUnknownOptions(options, KNOWN, WHERE);
  const { database, clock = systemClock, random = Math.random, crashPoint = noCrash } = options;
  if (typeof database?.query !== 'function')
    throw badOption(WHERE, 'has no database', 'Give database: openDatabase({ url }).');
  const settings = resolveAlerts(options, WHERE);
  const { intervalMs, webhook, policy, isWatched } = settings;
  const name = options.name ?? `${hostname()}:${process.pid}`;
  const log = safeLogger(options.log).child({ part: 'alerts' });
  const hook = safeHook(options.onAlert, `onAlert of ${WHERE}`);
  const store = createAlertStore(database, name);
  const memory = createMemoryNotices(clock);
  const rounds = createAlertRounds({ database, store, settings, clock, log, crashPoint });
  const own = createOwnWatch({ name, workers: options.workers ?? [], policy, isWatched });
  let stopping = false;
  const look = createLooks({ rounds, own, memory, settings, clock, random, log, isStopping: () => stopping });
  /** It was this process's turn to look, so it tells what is due, whoever decided it. */
  let mine = false;

  async function tell(signal: AbortSignal): Promise<number> {
    const teller: Teller = { webhook, hook, log, clock, random, crashPoint, signal };
    const first = await tellDue(memory, teller);
    if (!mine) return first.more ? 0 : Infinity;
    mine = false;
    const second = await tellDue(store, teller);
    mine ||= second.more;
    return first.more || second.more ? 0 : Infinity;
  }

  const tellLoop = createLoop({
    name: 'alerts.tell',
    clock,
    log,
    onError: () => intervalMs,
    tick: async (signal) => {
      try {
        return await tell(signal);
      } catch (error) {
        signal.throwIfAborted();
        // What was claimed is told again, by whoever looks next.
        log.debug({ err: error }, 'alerts: not all could be told');
        return Infinity;
      }
    },
  });
  const lookLoop = createLoop({
    name: 'alerts.look',
    clock,
    log,
    onError: () => intervalMs,
    tick: async () => {
      const looked = await look();
      mine ||= looked.mine;
      tellLoop.wake();
      return looked.waitMs;
    },
  });
  const lifecycle = createLifecycle({
    make: () => null,
    async start() {
      stopping = false;
      await Promise.all([tellLoop.start(), lookLoop.start()]);
    },
    async stop(_run, stopOptions) {
      await lookLoop.stop(stopOptions);
      await tellLoop.stop(stopOptions);
    },
  });

  return {
    start: lifecycle.start,
    stop(stopOptions?: StopOptions) {
      stopping = true;
      return lifecycle.stop(stopOptions);
    },
    async tick() {
      lifecycle.use();
      await lookLoop.tick();
      await tellLoop.tick();
    },
    async test() {
      const notice = testNotice(name, clock.now());
      hook(notice);
      if (webhook === null) return { id: notice.id, webhook: null };
      const signal = new AbortController().signal;
      const { ok, status, trouble, body } = await callWebhook(webhook, notice, { clock, signal, readBody: true });
      return { id: notice.id, webhook: { ok, status, trouble, body } };
    },
  };
}

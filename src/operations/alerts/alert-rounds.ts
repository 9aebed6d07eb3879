/**
 * One look at everything that is shared: takes the areas whose time has come, reads what is wrong there, decides, and writes what is kept
 * and what is to be told in one statement. Whoever comes too late, or dies in between, has written nothing; the next round does it anew.
 */
import { isHoldfastError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CrashPoint } from '../../runtime/crash-point.ts';
import type { Logger } from '../../runtime/log.ts';
import { ALERT_AREAS, ALERT_KINDS, type AlertArea, type AlertKind } from './alert.ts';
import type { AlertRound, AlertStore } from './alert-store.ts';
import { decideAlerts } from './decide.ts';
import { toNotice } from './notice.ts';
import type { ResolvedAlerts } from './options.ts';
import { readConditions } from './read-conditions.ts';

export interface AlertRoundsOptions {
  readonly database: Database;
  readonly store: AlertStore;
  readonly settings: ResolvedAlerts;
  readonly clock: Clock;
  readonly log: Logger;
  readonly crashPoint: CrashPoint;
}

export interface AlertRounds {
  /** Resolves with whether it was this process's turn in any area. Rejects with what the database says. */
  look(): Promise<boolean>;
}

/** A role may be given its rights while we run; until then the server's log need not fill with refusals. */
const REFUSED_FOR_MS = 10 * 60_000;
/** The part of an interval after which it is time again: timers of several processes do not fire to the millisecond. */
const EARLY = 0.8;

export function createAlertRounds({
  database,
  store,
  settings,
  clock,
  log,
  crashPoint,
}: AlertRoundsOptions): AlertRounds {
  const refusedUntilMs = new Map<AlertArea, number>();
  const kinds = Object.keys(ALERT_KINDS) as AlertKind[];
  const watched = ALERT_AREAS.filter((area) =>
    kinds.some((kind) => ALERT_KINDS[kind].area === area && settings.isWatched(kind)),
  );

  async function lookAt(round: AlertRound): Promise<void> {
    const conditions = (await readConditions(database, round.area, settings.thresholds)).filter(({ kind }) =>
      settings.isWatched(kind),
    );
    const { nowMs, records } = await store.known(round.area);
    const decision = decideAlerts(records, conditions, nowMs, settings.policy);
    if (decision.keep.length === 0 && decision.forget.length === 0) return;
    crashPoint('alerts.settle:before');
    const notices = decision.tell.map((telling) => toNotice(telling, nowMs));
    const mine = await store.settle(round, decision, notices);
    crashPoint('alerts.settle:after');
    if (!mine) log.debug({ area: round.area }, 'alerts: another process has looked since');
  }

  return {
    async look() {
      const nowMs = clock.monotonic();
      const areas = watched.filter((area) => nowMs >= (refusedUntilMs.get(area) ?? -Infinity));
      if (areas.length === 0) return false;
      const taken = await store.takeRounds(areas, settings.intervalMs * EARLY);
      for (const round of taken) {
        try {
          await lookAt(round);
        } catch (error) {
          if (!isHoldfastError(error, 'HF_PERMISSION')) throw error;
          if (!refusedUntilMs.has(round.area))
            log.info({ area: round.area }, 'alerts: this role may not look there; others have to (docs/roles.md)');
          refusedUntilMs.set(round.area, clock.monotonic() + REFUSED_FOR_MS);
        }
      }
      return taken.length > 0;
    },
  };
}

/**
 * What a process knows only of itself: that the database does not answer it, that a worker of its own has lost its lease, and which circuit
 * breakers of steps hold its attempts up. It is kept in memory, since there is nowhere else to keep it just then; each process speaks for itself.
 */
import type { AlertKind, AlertNotice, Condition } from './alert.ts';
import { decideAlerts, type AlertPolicy, type AlertRecord } from './decide.ts';
import { toNotice } from './notice.ts';
import type { WatchedWorker } from './options.ts';

export interface OwnWatch {
  /** `silent`: the last look at the database had no answer. */
  look(silent: boolean, nowMs: number): readonly AlertNotice[];
}

export interface OwnWatchOptions {
  /** Of this process. */
  readonly name: string;
  readonly workers: readonly WatchedWorker[];
  readonly policy: AlertPolicy;
  readonly isWatched: (kind: AlertKind) => boolean;
}

export function createOwnWatch({ name, workers, policy, isWatched }: OwnWatchOptions): OwnWatch {
  let records: readonly AlertRecord[] = [];
  /** The last lease of each worker. */
  const leases = workers.map(() => '');

  function lostLeases(): readonly Condition[] {
    return workers.flatMap(({ id }, index): readonly Condition[] => {
      const before = leases[index] ?? '';
      if (id !== '') leases[index] = id;
      if (before === '' || before === id) return [];
      return [
        {
          kind: 'lease-lost',
          subject: workers.length === 1 ? name : `${name} #${index + 1}`,
          count: 1,
          summary: `A worker of ${name} lost its lease${id === '' ? ' and has no new one' : ''}; its runs go on elsewhere.`,
          advice:
            'It did not reach the database in time, or stood still for longer than the lease: its log says which.',
        },
      ];
    });
  }

  /** Workers of one process that have a breaker of one name are told of as one. */
  function heldUp(): readonly Condition[] {
    const open = new Set(workers.flatMap(({ openBreakers = [] }) => openBreakers.map((each) => each.name)));
    return [...open].map((breaker) => ({
      kind: 'step-breaker-open',
      subject: `${name}: ${breaker}`,
      count: 1,
      summary: `The circuit breaker ${breaker} is open in ${name}: steps behind it fail one after the other, and wait.`,
      advice: 'See to what they call. No attempt is used up meanwhile, and all goes on by itself when it answers.',
    }));
  }

  return {
    look(silent, nowMs) {
      const found = [...lostLeases(), ...heldUp(), ...(silent ? [databaseSilent(name)] : [])];
      const conditions = found.filter(({ kind }) => isWatched(kind));
      const { keep, tell } = decideAlerts(records, conditions, nowMs, policy);
      records = keep;
      return tell.map((telling) => toNotice(telling, nowMs));
    },
  };
}

function databaseSilent(name: string): Condition {
  return {
    kind: 'database-silent',
    subject: name,
    count: 1,
    summary: `The database does not answer ${name}.`,
    advice: 'See to PostgreSQL and the network to it. Nothing is lost; all goes on by itself when it answers.',
  };
}

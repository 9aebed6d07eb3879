/**
 * Faults of the network between some of the processes and their servers.
 */
import type { NetworkOrder } from '../setting.ts';
import { between, type FaultKind } from './tools.ts';

function weather(
  kind: string,
  turn: NetworkOrder['weather'],
  [least, most]: readonly [least: number, most: number],
): FaultKind {
  return {
    kind,
    side: 'servers',
    async strike({ crew, random, pause, show }) {
      show(kind);
      crew.turnWeather(turn);
      try {
        await pause(between(random, least, most));
      } finally {
        crew.turnWeather('calm');
      }
    },
  };
}

export const OF_NETWORK: readonly FaultKind[] = [
  weather('connections cut', 'cut', [500, 500]),
  weather('connections cut in COMMIT', 'commits', [5_000, 12_000]),
  // Longer than the leases: others take over from those who hear nothing.
  weather('network silent', 'silent', [6_500, 14_000]),
  weather('network slow', 'slow', [5_000, 12_000]),
];

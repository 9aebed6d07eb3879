/**
 * What the API would answer of how things are, for tests of the page without a database.
 */
import type { WireOverview } from '../../src/dashboard/page/app/wire.ts';
import { sampleAlerts as alerts } from './sample-alerts.ts';
import { openJobs } from './sample-mend.ts';
import { idOf } from './sample-path.ts';

const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();

export function overview(): WireOverview {
  const wave = (index: number): number => 1_150 + 240 * Math.sin(index / 9) + 60 * Math.sin(index * 2.1);
  return {
    at: new Date().toISOString(),
    relay: {
      schema: 'holdfast',
      log: { newestSeq: 91_204, oldestSeq: 12, oldestAgeMs: 86_000_000 },
      subscriptions: [
        {
          name: 'main',
          shard: 0,
          shards: 1,
          lease: { owner: 'relay-7f9c/1', epoch: 4, remainingMs: 9_200 },
          live: true,
          high: 91_190,
          behind: 14,
          oldestUnpublishedAgeMs: 380,
          published: 91_190,
          ratePerSecond: 1_204,
          drainMs: 12,
          advancedAgoMs: 40,
          trouble: null,
          stalls: 0,
          lapses: 0,
          probing: false,
          retentionMs: 86_400_000,
          parked: { failed: 1, behind: 0, dead: 0 },
        },
        {
          name: 'search',
          shard: 0,
          shards: 1,
          lease: { owner: 'relay-7f9c/1', epoch: 2, remainingMs: 0 },
          live: false,
          high: 88_002,
          behind: 3_202,
          oldestUnpublishedAgeMs: 92_000,
          published: 88_002,
          ratePerSecond: 0,
          drainMs: null,
          advancedAgoMs: 92_000,
          trouble: 'connect ECONNREFUSED 10.0.0.7:6379',
          stalls: 2,
          lapses: 0,
          probing: false,
          retentionMs: 86_400_000,
          parked: { failed: 0, behind: 0, dead: 0 },
        },
      ],
      scheduled: { count: 42, nextInMs: 31_000 },
      consumers: [{ consumer: 'shipping', failed: 0, behind: 1, dead: 1, oldestAgeMs: 5_400_000 }],
      replays: [],
    },
    sagas: {
      counts: {
        atLeast: false,
        counts: [
          { saga: 'place-order', status: 'running', runs: 118 },
          { saga: 'place-order', status: 'completed', runs: 8_210 },
          { saga: 'place-order', status: 'compensated', runs: 412 },
          { saga: 'place-order', status: 'compensating', runs: 6 },
          { saga: 'place-order', status: 'stuck', runs: 2 },
          { saga: 'approve-expense', status: 'waiting', runs: 97 },
          { saga: 'approve-expense', status: 'completed', runs: 1_024 },
        ],
      },
      stuck: [{ saga: 'place-order', runs: 2, oldestMs: 3_600_000 }],
      due: [],
      workers: [
        {
          id: idOf(301),
          name: 'worker-a',
          sagas: ['place-order@1', 'approve-expense@1'],
          codes: {},
          live: true,
          leaseMs: 11_000,
          draining: false,
          startedAt: ago(7_200_000),
          runs: 121,
        },
        {
          id: idOf(302),
          name: 'worker-b',
          sagas: ['place-order@1'],
          codes: {},
          live: true,
          leaseMs: 8_000,
          draining: true,
          startedAt: ago(90_000_000),
          runs: 4,
        },
      ],
      unrunnable: [],
      childless: [],
      grown: [],
    },
    objectives: [
      { subscription: 'main', objectiveMs: 30_000 },
      { subscription: 'search', objectiveMs: 60_000 },
    ],
    alerts,
    history: Array.from({ length: 180 }, (_, index) => ({
      at: ago((180 - index) * 5_000),
      published: wave(index),
      written: wave(index + 1) * 0.99,
      lag: 14,
      oldestMs: index > 160 ? (index - 160) * 4_600 : 300 + 200 * Math.abs(Math.sin(index)),
      parked: index > 90 ? 3 : 2,
      runs: { due: 3, stuck: index > 120 ? 2 : 0 },
    })),
    jobs: openJobs,
  };
}

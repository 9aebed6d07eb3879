/**
 * Groups of parked messages and acts on many, as sample-pages.ts answers with them.
 */
import type { WireGroups, WireJob, WireOverview } from '../../src/dashboard/page/app/wire.ts';
import { idOf } from './sample-path.ts';

const PARKED_ID = '0199f3a0-7b20-7e01-8a2f-6f1d7a0c9e12';

const now = Date.now();
const ago = (ms: number): string => new Date(now - ms).toISOString();

const recent = (of: (index: number) => number): readonly number[] =>
  Array.from({ length: 24 }, (_, index) => Math.max(0, Math.round(of(index))));

export const groups: WireGroups = {
  groups: [
    {
      id: 'consumer:shipping:order.placed:0f3a5c7e9b1d',
      kind: 'consumer',
      where: 'shipping',
      topic: 'order.placed',
      reason: 'attempts used up',
      error: 'TypeError: Cannot read properties of undefined (reading <text>)',
      messages: 1_204,
      dead: 1_201,
      firstAt: ago(80_000_000),
      lastAt: ago(42_000),
      recent: recent((index) => (index - 12) ** 3 / 4),
      example: PARKED_ID,
    },
    {
      id: 'relay:main:report.made:7b1d0f3a5c9e',
      kind: 'relay',
      where: 'main',
      topic: 'report.made',
      reason: 'the broker refuses it',
      error: 'HF_MESSAGE_REFUSED: the job is larger than <n> MB',
      messages: 3,
      dead: 0,
      firstAt: ago(9_000_000),
      lastAt: ago(64_000),
      recent: recent((index) => (index === 21 || index === 23 ? 2 : 0)),
      example: idOf(202),
    },
  ],
  messages: 1_207,
  total: 2,
  bucketMs: 3_600_000,
};

export const jobs: readonly WireJob[] = [
  {
    id: idOf(401),
    act: { kind: 'parked.retry', select: { group: 'consumer:shipping:order.placed:0f3a5c7e9b1d' } },
    actor: 'dashboard:ada',
    reason: 'the address is optional now',
    state: 'open',
    planned: 1_204,
    rate: 500,
    done: 500,
    passedOver: {},
    failed: {},
    examples: [],
    runner: 'dashboard on ops-1, process 4711',
    createdAt: ago(2_000),
    updatedAt: ago(300),
    finishedAt: null,
  },
  {
    id: idOf(400),
    act: { kind: 'saga.cancel', select: { saga: 'place-order', status: ['waiting'] } },
    actor: 'bert@desk',
    reason: 'the shop is closed',
    state: 'done',
    planned: 97,
    rate: null,
    done: 94,
    passedOver: { HF_SAGA_PIVOTED: 2 },
    failed: { other: 1 },
    examples: [
      {
        subject: idOf(1),
        code: 'HF_SAGA_PIVOTED',
        message: 'It has passed its pivot and only goes forward.',
      },
    ],
    runner: null,
    createdAt: ago(8_000_000),
    updatedAt: ago(7_900_000),
    finishedAt: ago(7_900_000),
  },
];
export const JOB_IDS = { open: idOf(401), done: idOf(400) };

/** As they are told to all who look. */
export const openJobs: WireOverview['jobs'] = [
  {
    id: JOB_IDS.open,
    kind: 'parked.retry',
    done: 700,
    planned: 1_204,
    passedOver: 0,
    failed: 0,
    runner: 'dashboard on ops-1, process 4711',
  },
];

/** What the service API says of queues in brokers. */
import { expect, it } from 'vitest';
import { createMemoryTransport } from '../../src/transport/memory.ts';
import { ask, useDashboardLab } from './server-lab.ts';

const lab = useDashboardLab();

it('lists what lies in the brokers, and says why one cannot be asked', async () => {
  const state = { waiting: 3, active: 1, delayed: 2, failed: 0, paused: false, consumers: 1, foreign: 0, remarks: [] };
  const queues = async () => ({ queues: [{ destination: 'billing', state }], complete: true });
  const away = async () => Promise.reject(new Error('it is away'));
  const transports = [
    { ...createMemoryTransport(), queues },
    { ...createMemoryTransport(), kind: 'other', queues: away },
  ];
  const parts = lab.open({ doctor: { transports } });
  expect((await ask(parts, '/api/queues', { as: 'viewer' })).json).toEqual({
    items: [{ destination: 'billing', state }],
    trouble: 'other: it is away',
  });
});

it('lists none where the dashboard was told of no broker', async () => {
  expect((await ask(lab.open(), '/api/queues', { as: 'viewer' })).json).toEqual({ items: [], trouble: null });
});

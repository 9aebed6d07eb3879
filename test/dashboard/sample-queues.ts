/**
 * What the API would say of queues: one that gets on, one that is paused and unread, and a broker that is away.
 */
import type { WireQueue } from '../../src/dashboard/page/app/wire.ts';

export const QUEUES = {
  items: [
    { destination: 'billing', state: queueState({ waiting: 12, active: 64, delayed: 3, consumers: 2 }) },
    {
      destination: 'shipping',
      state: queueState({
        waiting: 4_120,
        paused: true,
        remarks: [
          {
            check: 'queue.unread',
            what: 'shipping holds 4120 messages and no consumer is connected.',
            advice: 'Start one.',
          },
        ],
      }),
    },
  ],
  trouble: 'nats: The broker (nats) cannot be looked at: connection refused.',
};

function queueState(state: Partial<WireQueue['state']>): WireQueue['state'] {
  return {
    waiting: 0,
    active: 0,
    delayed: 0,
    failed: 0,
    paused: false,
    consumers: 0,
    foreign: 0,
    remarks: [],
    ...state,
  };
}

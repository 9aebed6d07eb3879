import { defineConfig } from 'holdfast';
import { createBullmqTransport } from 'holdfast/bullmq';

// The configuration of `holdfast relay`, `holdfast worker` and `holdfast start`. docs/operations.md tells of every key, and of the flags
// and variables that win over it.
export default defineConfig({
  database: { url: process.env.DATABASE_URL ?? 'postgres://holdfast:holdfast@localhost:5432/holdfast' },
  transports: {
    events: createBullmqTransport({
      connection: process.env.REDIS_URL ?? 'redis://localhost:6379',
      // An ordered consumer runs one message a partition at a time.
      queues: { shipping: { partitions: 8 } },
    }),
  },
  transport: 'events',
  subscriptions: [
    {
      name: 'main',
      routes: [
        { topics: 'order.**', to: 'shipping', ordered: true },
        { topics: ['order.paid', 'order.cancelled'], to: 'billing' },
        // What sagas ask of a participant, and what it answers.
        { topics: 'stock.*', to: 'inventory' },
        { topics: 'saga.reply', to: 'saga-replies' },
      ],
    },
  ],
  // Read by `holdfast worker` and `holdfast start` only.
  sagas: { path: './sagas', concurrency: 500, lease: '15s', replies: { destination: 'saga-replies' } },
  shutdown: { deadline: '25s' },
});

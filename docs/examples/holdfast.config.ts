import { bullmqTransport, defineConfig } from 'holdfast';

// The configuration of `holdfast relay`. docs/operations.md tells of every key, and of the flags and variables that win over it.
export default defineConfig({
  database: { url: process.env.DATABASE_URL ?? 'postgres://holdfast:holdfast@localhost:5432/holdfast' },
  transports: {
    events: bullmqTransport({
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
      ],
    },
  ],
  shutdown: { deadline: '25s' },
});

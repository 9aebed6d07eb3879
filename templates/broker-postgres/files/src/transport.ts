/** What carries messages: BullMQ in the same PostgreSQL. With a Redis, createBullmqTransport takes its place. */
import { createBullmqPostgresTransport } from 'holdfast/bullmq';

export const transport = createBullmqPostgresTransport({ connection: process.env['DATABASE_URL'] ?? {} });

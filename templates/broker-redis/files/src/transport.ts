/** What carries messages: BullMQ on Redis; on your machine, where no Redis is named, BullMQ in the same PostgreSQL. */
import { createBullmqPostgresTransport, createBullmqTransport } from 'holdfast/bullmq';

const redis = process.env['REDIS_URL'];

export const transport =
  redis === undefined
    ? createBullmqPostgresTransport({ connection: process.env['DATABASE_URL'] ?? {} })
    : createBullmqTransport({ connection: redis });

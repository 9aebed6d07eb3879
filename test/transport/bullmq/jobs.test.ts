import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBullmqPostgresTransport } from '../../../src/transport/bullmq/postgres-transport.ts';
import { createBullmqTransport } from '../../../src/transport/bullmq/redis-transport.ts';
import { dueMs, jobId, queueName } from '../../../src/transport/bullmq/jobs.ts';

describe('names that BullMQ accepts', () => {
  it('makes job ids of ids and replays', () => {
    expect(jobId({ id: 'a', replayId: null })).toBe('a');
    expect(jobId({ id: 'a', replayId: 'r' })).toBe('a.r');
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.nat().map(String)), fc.option(fc.string()), (id, replayId) => {
        const made = jobId({ id: id || 'x', replayId });
        expect(made).not.toMatch(/:|^\d+$/);
      }),
    );
  });

  it('gives the first partition the plain name', () => {
    expect([0, 1, 2].map((partition) => queueName('orders', partition))).toEqual(['orders', 'orders#1', 'orders#2']);
  });
});

describe('a job that is put off', () => {
  it.each([
    ['the clocks agree', 5_000, 5_000, 5_100],
    ['that of the process is an hour ahead', 3_605_000, 5_000, 5_100],
    ['that of the broker is', 5_000, 3_605_000, 5_100],
    ['the broker does not say', 5_000, Infinity, 5_100],
  ])('is due after its delay where %s', (_name, ownMs, brokerMs, due) => {
    expect(dueMs({ ownMs, brokerMs }, 100)).toBe(due);
  });
});

describe('the address of a transport', () => {
  it.each([
    ['redis://me:secret@one:7000/2', 'redis one:7000/2 prefix holdfast'],
    ['rediss://one', 'redis one:6379/0 prefix holdfast'],
    [{ host: 'one', password: 'secret' }, 'redis one:6379/0 prefix holdfast'],
    [{ sentinels: [{ host: 'a', port: 1 }], name: 'main' }, 'redis sentinel main prefix holdfast'],
    ['/run/redis.sock', undefined],
  ])('on Redis: %j', (connection, address) => {
    expect(createBullmqTransport({ connection }).address).toBe(address);
  });

  it('on Redis differs by prefix', () => {
    expect(createBullmqTransport({ connection: 'redis://one', prefix: 'mine' }).address).toBe(
      'redis one:6379/0 prefix mine',
    );
  });

  it.each([
    ['postgres://me:secret@one/shop', 'postgres one:5432/shop schema bullmq'],
    [{ host: 'one', port: 1, database: 'shop', password: 'secret' }, 'postgres one:1/shop schema bullmq'],
    [{}, undefined],
  ])('on PostgreSQL: %j', (connection, address) => {
    expect(createBullmqPostgresTransport({ connection }).address).toBe(address);
  });
});

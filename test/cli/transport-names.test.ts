/** Brokers by flag and variable: which of them carries messages, and what is refused. */
import { describe, expect, it } from 'vitest';
import { ALL, readGiven, type Given, type SettingName } from '../../src/cli/config/options.ts';
import { askableTransports, createTransports } from '../../src/cli/config/transports.ts';
import type { HoldfastConfig } from '../../src/operations/config.ts';
import { createMemoryTransport } from '../../src/transport/memory.ts';

const givenBy = (env: Record<string, string>, flags: Record<string, unknown> = {}): Given =>
  readGiven({ flags, env }, Object.keys(ALL) as SettingName[]);
const transportsOf = (given: Given, config: HoldfastConfig = {}, fallback?: 'postgres') =>
  createTransports({ given, config, database: { url: 'postgres://db/x' }, onTransportError: () => {}, fallback });
const found = (given: Given, wanted: string | null = null, fallback?: 'postgres') => {
  const { kind, address } = transportsOf(given, {}, fallback).find(wanted, 'the relay');
  return `${kind}, ${address}`;
};
const refused = (said: string, advice: string) =>
  expect.objectContaining({
    code: 'HF_CONFIG',
    message: expect.stringContaining(said),
    advice: expect.stringContaining(advice),
  });

const REDIS = { REDIS_URL: 'redis://cache:6379' };
const NATS = { NATS_URL: 'nats://app:secret@n1:4222, nats://app:secret@n2:4222' };
const RABBITMQ = { RABBITMQ_URL: 'amqp://app:secret@mq:5672/orders' };

describe('what carries messages', () => {
  it('is the broker that is given, Redis before the others', () => {
    expect(found(givenBy(REDIS))).toMatch(/^bullmq-redis, .*cache:6379/);
    expect(found(givenBy(NATS))).toMatch(/^nats, .*n1:4222.*n2:4222/);
    expect(found(givenBy(RABBITMQ))).toMatch(/^rabbitmq, .*mq:5672/);
    expect(found(givenBy({ ...REDIS, ...NATS, ...RABBITMQ }))).toMatch(/^bullmq-redis/);
    expect(found(givenBy(NATS), null, 'postgres')).toMatch(/^nats/);
    expect(found(givenBy({}), null, 'postgres')).toMatch(/^bullmq-postgres/);
  });

  it('is the one that is named, with the URL that is its', () => {
    const all = givenBy({ ...REDIS, ...NATS, ...RABBITMQ });
    expect(found(all, 'nats')).toMatch(/^nats/);
    expect(found(all, 'rabbitmq')).toMatch(/^rabbitmq/);
    expect(found(all, 'redis-streams')).toMatch(/^redis-streams, .*cache:6379/);
    expect(found(all, 'postgres')).toMatch(/^bullmq-postgres/);
    expect(found(givenBy({ HOLDFAST_NATS_URL: 'nats://own:4222', ...NATS }), 'nats')).toContain('own:4222');
  });

  it('shows no password', () => {
    for (const env of [NATS, RABBITMQ]) expect(found(givenBy(env))).not.toContain('secret');
  });

  it('is not guessed where NATS and RABBITMQ could both be meant', () => {
    expect(() => transportsOf(givenBy({ ...NATS, ...RABBITMQ }))).toThrow(
      refused('nothing says which carries messages', '--transport nats or --transport rabbitmq'),
    );
    expect(() => transportsOf(givenBy({ ...NATS, ...RABBITMQ, HOLDFAST_TRANSPORT: 'nats' }))).not.toThrow();
  });

  it.each([
    ['redis-streams', 'Redis', '--redis-url'],
    ['nats', 'NATS', '--nats-url'],
    ['rabbitmq', 'RabbitMQ', '--rabbitmq-url'],
  ])('cannot be %s where nothing says where that is', (name, server, flag) => {
    expect(() => found(givenBy({}), name)).toThrow(refused(`is to publish to ${server}, but nothing says where`, flag));
  });

  it('has no name that an object brings by itself, and a near one is said', () => {
    expect(() => found(givenBy({}), 'toString')).toThrow(refused("the transport 'toString'", 'There are: redis, '));
    expect(() => found(givenBy({}), 'rabitmq')).toThrow(refused("the transport 'rabitmq'", "'rabbitmq'"));
  });
});

describe('whose queues doctor and status ask', () => {
  it('are those of the configuration, and those by flag', () => {
    const events = createMemoryTransport();
    const kinds = askableTransports(givenBy({ ...NATS, ...RABBITMQ }), { transports: { events } });
    expect(kinds.map(({ kind }) => kind)).toEqual(['memory', 'nats', 'rabbitmq']);
    expect(askableTransports(givenBy(REDIS), {})).toEqual([]);
  });
});

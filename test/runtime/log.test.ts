import { PassThrough } from 'node:stream';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { createLogger } from '../../src/runtime/pino-logger.ts';
import { createRedactor } from '../../src/runtime/redact.ts';

test('JSON lines carry level, time, the fields of children, and errors with code and cause', () => {
  const lines: string[] = [];
  const log = createLogger({ pretty: false, stream: { write: (line) => lines.push(line) } });
  const error = new HoldfastError('HF_CONFIG', 'wrong', { cause: new Error('why') });
  log.child({ subscription: 'main' }).warn({ err: error }, 'hello');
  log.debug({}, 'not at level info');
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'warn',
    msg: 'hello',
    subscription: 'main',
    time: expect.stringMatching(/^\d{4}-/),
    err: { code: 'HF_CONFIG', message: 'wrong', cause: { message: 'why' } },
  });
});

test('pretty lines are for people', () => {
  const stream = new PassThrough();
  createLogger({ pretty: true, level: 'debug', stream }).debug({ lag: 3 }, 'behind');
  const text = String(stream.read());
  expect(text).toContain('behind');
  expect(text).toContain('lag');
  expect(text).not.toContain('"msg"');
});

test('pino itself is a Logger, and silentLogger says nothing', () => {
  const lines: string[] = [];
  const log: Logger = pino({}, { write: (line) => void lines.push(line) });
  log.child({ a: 1 }).info({}, 'x');
  expect(lines).toHaveLength(1);
  expect(silentLogger.child({ a: 1 })).toBe(silentLogger);
});

test('errors of PostgreSQL are logged without the rows that they quote, also as a cause or one of several', () => {
  const lines: string[] = [];
  const log = createLogger({ pretty: false, stream: { write: (line) => lines.push(line) } });
  const duplicate = () =>
    Object.assign(new Error('duplicate key value violates unique constraint "customer_email"'), {
      code: '23505',
      constraint: 'customer_email',
      detail: 'Key (email)=(ann@example.com) already exists.',
      where: 'COPY customer, line 1: "ann@example.com"',
    });
  log.error({ err: duplicate() }, 'direct');
  log.error({ err: new Error('wrapped', { cause: duplicate() }) }, 'as a cause');
  log.error({ error: new AggregateError([duplicate()], 'several') }, 'one of several');
  expect(lines).toHaveLength(3);
  expect(lines.join('')).not.toContain('ann@example.com');
  expect(lines.join('').match(/customer_email/g)?.length).toBeGreaterThanOrEqual(3);
});

test('details of errors are logged without the fields that are redacted, also those of a cause', () => {
  const lines: string[] = [];
  const redact = createRedactor(['customer.email']);
  const log = createLogger({ pretty: false, redact, stream: { write: (line) => lines.push(line) } });
  const details = { customer: { email: 'ann@example.com', city: 'Riga' } };
  log.error({ err: new HoldfastError('HF_CONFIG', 'wrong', { details }) }, 'direct');
  log.error({ err: new Error('wrapped', { cause: Object.assign(new Error('why'), { details }) }) }, 'as a cause');
  expect(lines).toHaveLength(2);
  expect(lines.join('')).not.toContain('ann@example.com');
  expect(lines.join('').match(/Riga/g)).toHaveLength(2);
});

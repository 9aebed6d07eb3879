import { PassThrough } from 'node:stream';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { silentLogger, type Logger } from '../../src/runtime/log.ts';
import { createLogger } from '../../src/runtime/pino-logger.ts';

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

import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { HoldfastError, PermanentError, Rejection } from '../../src/errors.ts';
import {
  classifySqlError,
  isEndedForStandingStill,
  passesByItself,
  sqlStateOf,
  translateSqlError,
} from '../../src/postgres/sql-state.ts';

const server = (code: string): Error => Object.assign(new Error('from the server'), { code, severity: 'ERROR' });

describe('classifySqlError', () => {
  test.each([
    ['08006', 'connection'],
    ['57P01', 'connection'],
    ['57P03', 'connection'],
    ['25P03', 'connection'],
    ['40001', 'conflict'],
    ['40P01', 'conflict'],
    ['40003', 'connection'],
    ['55P03', 'busy'],
    ['57014', 'busy'],
    ['53100', 'busy'],
    ['53300', 'busy'],
    ['58030', 'busy'],
    ['26000', 'session'],
    ['42P05', 'session'],
    ['42P01', 'schema'],
    ['42883', 'schema'],
    ['3F000', 'schema'],
    ['42501', 'permission'],
    ['28P01', 'permission'],
    ['25006', 'read-only'],
    ['23505', 'data'],
    ['22P02', 'data'],
    ['22P05', 'data'],
    ['54000', 'data'],
    ['P0001', 'data'],
    ['42601', 'defect'],
    ['25P02', 'defect'],
    ['0A000', 'defect'],
    ['XX000', 'unknown'],
    ['ZZ999', 'unknown'],
    ['HF001', 'other'],
  ])('SQLSTATE %s is %s', (code, kind) => {
    expect(classifySqlError(server(code))).toBe(kind);
    expect(sqlStateOf(server(code))).toBe(code);
  });

  test.each([
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'timeout exceeded when trying to connect',
    'Client has encountered a connection error and is not queryable',
  ])('the message of the driver %j is connection', (message) => {
    expect(classifySqlError(new Error(message))).toBe('connection');
  });

  test('errors of the operating system are connection, and EPIPE is no SQLSTATE', () => {
    const pipe = Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' });
    expect(classifySqlError(pipe)).toBe('connection');
    expect(sqlStateOf(pipe)).toBeUndefined();
    expect(sqlStateOf(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))).toBeUndefined();
  });

  test('a refused connection and a missing socket, as Node reports them', async () => {
    const errorOf = async (options: { path: string } | { host: string; port: number }): Promise<unknown> =>
      new Promise((resolve) => {
        connect(options).once('error', resolve);
      });
    expect(classifySqlError(await errorOf({ host: 'localhost', port: 1 }))).toBe('connection');
    expect(classifySqlError(await errorOf({ path: '/nowhere/.s.PGSQL.5432' }))).toBe('connection');
    expect(classifySqlError(Object.assign(new Error('no file'), { code: 'ENOENT', syscall: 'open' }))).toBe('other');
  });

  test('looks into causes, as ORMs wrap the error of the driver', () => {
    const wrapped = new Error('Failed query', { cause: server('40001') });
    expect(classifySqlError(wrapped)).toBe('conflict');
    expect(sqlStateOf(wrapped)).toBe('40001');
  });

  test('a plan that is out of date is of the session, whatever its SQLSTATE says', () => {
    const stale = Object.assign(new Error('cached plan must not change result type'), { code: '0A000' });
    expect(classifySqlError(stale)).toBe('session');
  });

  test('what passes: infrastructure, conflicts and the unknown, but neither data nor code nor what is no error of the database', () => {
    for (const code of ['08006', '40001', '53200', '57014', '55P03', '26000', '42P05', '25006', 'ZZ999'])
      expect([code, passesByItself(server(code))]).toEqual([code, true]);
    for (const code of ['22003', '23505', '42P01', '42501', '42601', 'HF001'])
      expect([code, passesByItself(server(code))]).toEqual([code, false]);
    expect(passesByItself(new TypeError('x is not a function'))).toBe(false);
    expect(passesByItself(new RangeError('Maximum call stack size exceeded'))).toBe(false);
  });

  test('what somebody means is not read by its cause', () => {
    expect(passesByItself(new PermanentError('meant', { cause: server('40001') }))).toBe(false);
    expect(passesByItself(new Rejection('sold out', { cause: server('57P01') }))).toBe(false);
    // A broker that refuses connections is not the database that cannot be reached.
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    expect(classifySqlError(refused)).toBe('connection');
    expect(classifySqlError(new HoldfastError('HF_TRANSPORT_UNAVAILABLE', 'away', { cause: refused }))).toBe('other');
  });

  test('a circle of causes ends', () => {
    const error = new Error('round');
    error.cause = error;
    expect(classifySqlError(error)).toBe('other');
  });

  test.each([undefined, null, 'text', 42, {}])('%j is other', (value) => {
    expect(classifySqlError(value)).toBe('other');
  });
});

test('what the server ended for standing still is told from a connection that cannot be made', () => {
  const cause = new Error('Connection terminated unexpectedly');
  const ended = [
    server('25P03'),
    new Error('wrapped by an ORM', {
      cause: new Error('Client has encountered a connection error and is not queryable'),
    }),
    new HoldfastError('HF_COMMIT_IN_DOUBT', 'The connection broke during COMMIT.', { cause }),
  ];
  expect(ended.map(isEndedForStandingStill)).toEqual([true, true, true]);
  const others = [cause, new Error('timeout expired'), server('57P03'), server('55P03'), 'text', null];
  expect(others.filter(isEndedForStandingStill)).toEqual([]);
});

describe('translateSqlError', () => {
  test.each([
    ['08006', 'HF_DATABASE_UNAVAILABLE'],
    ['42P01', 'HF_SCHEMA_MISSING'],
    ['42501', 'HF_PERMISSION'],
    ['25006', 'HF_DATABASE_READ_ONLY'],
  ])('%s becomes %s with advice and cause', (state, code) => {
    const error = server(state);
    const translated = translateSqlError(error);
    expect(translated).toMatchObject({ code, cause: error, details: { sqlState: state } });
    expect((translated as HoldfastError).advice).toBeTruthy();
    expect(classifySqlError(translated)).toBe(classifySqlError(error));
  });

  test('what is not known better stays as it is', () => {
    const duplicate = server('23505');
    const own = new HoldfastError('HF_CONFIG', 'own');
    expect(translateSqlError(duplicate)).toBe(duplicate);
    expect(translateSqlError(own)).toBe(own);
    expect(translateSqlError('text')).toBeInstanceOf(Error);
  });
});

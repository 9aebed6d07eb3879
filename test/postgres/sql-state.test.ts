import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { HoldfastError } from '../../src/errors.ts';
import { classifySqlError, sqlStateOf, translateSqlError } from '../../src/postgres/sql-state.ts';

const server = (code: string): Error => Object.assign(new Error('from the server'), { code, severity: 'ERROR' });

describe('classifySqlError', () => {
  test.each([
    ['08006', 'connection'],
    ['57P01', 'connection'],
    ['57P03', 'connection'],
    ['25P03', 'connection'],
    ['40001', 'retry'],
    ['40P01', 'retry'],
    ['55P03', 'retry'],
    ['53300', 'retry'],
    ['42P01', 'schema'],
    ['42883', 'schema'],
    ['3F000', 'schema'],
    ['42501', 'permission'],
    ['28P01', 'permission'],
    ['25006', 'read-only'],
    ['23505', 'other'],
    ['22P02', 'other'],
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
    expect(classifySqlError(wrapped)).toBe('retry');
    expect(sqlStateOf(wrapped)).toBe('40001');
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

/** Errors of the server in what libraries wrap them in. */
import { describe, expect, it } from 'vitest';
import { classifySqlError, passesByItself, sqlStateOf } from '../../src/postgres/sql-state.ts';

const withFields = (fields: object, message = 'wrapped'): Error => Object.assign(new Error(message), fields);
const driver = (code: string): Error => withFields({ code }, 'of the driver');
/** As @prisma/adapter-pg and the client of Prisma make it of a raw query that the server refuses. */
const prisma = (code: string, originalCode?: string): Error =>
  withFields({
    code,
    clientVersion: '7.10.0',
    meta: {
      driverAdapterError: withFields({
        cause: { kind: 'postgres', originalCode, originalMessage: 'as the server says' },
      }),
    },
  });

describe('the state of an error', () => {
  it.each([
    ['Drizzle', (code: string) => new Error('Failed query', { cause: driver(code) })],
    ['Sequelize', (code: string) => withFields({ parent: driver(code), original: driver(code) })],
    ['TypeORM', (code: string) => withFields({ driverError: driver(code) })],
    ['Prisma', (code: string) => prisma('P2010', code)],
    ['two of them', (code: string) => new Error('outer', { cause: withFields({ parent: driver(code) }) })],
  ])('is found in that of %s', (_name, wrap) => {
    expect(['40001', '23505', 'HF001'].map((code) => sqlStateOf(wrap(code)))).toEqual(['40001', '23505', 'HF001']);
    expect(classifySqlError(wrap('40001'))).toBe('conflict');
  });

  it('is none of the codes of Prisma, which look like one', () => {
    expect(sqlStateOf(prisma('P2002'))).toBeUndefined();
    expect(classifySqlError(prisma('P2025'))).toBe('other');
    expect(passesByItself(prisma('P2002'))).toBe(false);
  });

  it('is a connection that is gone, as postgres.js says it', () => {
    for (const code of ['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'CONNECTION_ENDED', 'CONNECT_TIMEOUT'])
      expect(classifySqlError(driver(code))).toBe('connection');
  });
});

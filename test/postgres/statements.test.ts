/** What a text of SQL does to its transaction and its session, as far as it shows. */
import { describe, expect, it } from 'vitest';
import { inspectStatements } from '../../src/postgres/statements.ts';

const does = (text: string): readonly string[] =>
  inspectStatements(text).controls.map(({ does: what, asks, start, end }) =>
    [what, ...(asks === 'nothing' ? [] : [asks]), text.slice(start, end)].join(': '),
  );

describe('transactions', () => {
  it.each([
    ['begin', ['begin: begin']],
    ['  START TRANSACTION;', ['begin: START TRANSACTION']],
    ['BEGIN WORK', ['begin: BEGIN WORK']],
    ['begin isolation level read committed', ['begin: begin isolation level read committed']],
    [
      'start transaction isolation level serializable',
      ['begin: isolation: start transaction isolation level serializable'],
    ],
    ['BEGIN READ ONLY', ['begin: read only: BEGIN READ ONLY']],
    ['/* one /* two */ */ COMMIT', ['commit: COMMIT']],
    ['-- the end\ncommit;\n', ['commit: commit']],
    ['END TRANSACTION', ['commit: END TRANSACTION']],
    ['ROLLBACK AND NO CHAIN', ['rollback: ROLLBACK AND NO CHAIN']],
    ['abort work', ['rollback: abort work']],
    ['COMMIT AND CHAIN', ['commit: chain: COMMIT AND CHAIN']],
    ["PREPARE TRANSACTION 'x'", ["commit: two phases: PREPARE TRANSACTION 'x'"]],
    ["BEGIN; INSERT INTO t VALUES (';COMMIT;'); Commit", ['begin: BEGIN', 'commit: Commit']],
  ])('%j', (text, expected) => {
    expect(does(text)).toEqual(expected);
  });

  it.each([
    'SAVEPOINT a',
    'ROLLBACK TO SAVEPOINT a',
    'rollback to a',
    'RELEASE a',
    "INSERT INTO note VALUES ('BEGIN; COMMIT; ROLLBACK')",
    "INSERT INTO note VALUES (E'it\\'s; COMMIT; ')",
    'SELECT "end", "commit" FROM "begin" -- ; COMMIT',
    'SELECT CASE WHEN x THEN 1 END FROM t',
    'CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN; COMMIT; END $f$',
    'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END',
    'DO $$ BEGIN PERFORM 1; END $$',
    "COMMIT PREPARED 'x'",
    'SELECT $1::text; SELECT started FROM job WHERE commit = $2',
  ])('none in %j', (text) => {
    expect(does(text)).toEqual([]);
  });

  it('bears what is never closed', () => {
    expect(does("SELECT 'open; COMMIT")).toEqual([]);
    expect(does('SELECT 1 /* open; COMMIT')).toEqual([]);
    expect(does('SELECT $a$ open; COMMIT')).toEqual([]);
  });
});

describe('traces', () => {
  it.each([
    'SET search_path = tenant_b',
    'set role tenant',
    'SET SESSION AUTHORIZATION tenant',
    "SELECT 1; SELECT set_config('search_path', $1, false)",
    "select pg_catalog.set_config('search_path', 'x', $1)",
    'RESET ALL',
    'CREATE TEMP TABLE t (id int)',
    'CREATE TEMPORARY TABLE t AS SELECT 1',
    'SELECT 1 AS a INTO TEMP t',
    'SELECT pg_advisory_lock(1)',
    'SELECT pg_try_advisory_lock_shared(1, 2)',
    'LISTEN channel',
    'PREPARE q AS SELECT 1',
    'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
    "DO $$ BEGIN PERFORM set_config('search_path', 'x', false); END $$",
    'DISCARD ALL',
  ])('%j leaves some', (text) => {
    expect(inspectStatements(text).leavesTraces).toBe(true);
  });

  it.each([
    'SET LOCAL search_path = tenant_b',
    'SET TRANSACTION ISOLATION LEVEL READ COMMITTED',
    'SET CONSTRAINTS ALL DEFERRED',
    "SELECT set_config('app.tenant', $1, true)",
    'UPDATE t SET role = $1',
    "UPDATE t SET note = 'SET search_path; LISTEN x'",
    'CREATE TEMP TABLE t (id int) ON COMMIT DROP',
    'SELECT pg_advisory_xact_lock(1)',
    'SELECT temp FROM weather',
    'INSERT INTO t VALUES (1)',
  ])('%j leaves none', (text) => {
    expect(inspectStatements(text).leavesTraces).toBe(false);
  });

  it('sees a change of role, also for the transaction only', () => {
    expect(inspectStatements('set local role tenant').changesRole).toBe(true);
    expect(inspectStatements("SELECT set_config('role', $1, true)").changesRole).toBe(true);
    expect(inspectStatements("UPDATE person SET role = 'boss'").changesRole).toBe(false);
  });
});

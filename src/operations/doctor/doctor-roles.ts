/**
 * The doctor's look at roles: who may write rows that only functions should write. See docs/roles.md.
 */
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { translateSqlError } from '../../postgres/sql-state.ts';
import type { Check, CheckFinding } from './finding.ts';

/** A role with a right on a table that makes what others rely on forgeable. */
export interface ForgingRole {
  readonly role: string;
  readonly table: string;
}

/** Workers own the runs, and are known by the rights on their own table. */
export const checkRoles: Check = async (database) => {
  const { rows } = await database
    .query<{ readonly found: string | null }>(
      `SELECT json_agg(json_build_object('role', pg_get_userbyid(a.grantee), 'table', t.relname) ORDER BY t.relname, a.grantee)::text AS found
       FROM pg_class t CROSS JOIN LATERAL aclexplode(t.relacl) AS a
       WHERE t.relnamespace = $1::regnamespace AND a.grantee <> t.relowner
         AND CASE t.relname
           WHEN 'outbox' THEN a.privilege_type = 'INSERT'
           WHEN 'scheduled_message' THEN a.privilege_type = 'INSERT'
           WHEN 'audit' THEN a.privilege_type = 'TRUNCATE'
           WHEN 'saga_mail' THEN a.privilege_type = 'INSERT' AND a.grantee <> 0 AND NOT has_table_privilege(a.grantee, $2, 'INSERT')
           WHEN 'saga_journal' THEN a.privilege_type = 'INSERT' AND a.grantee <> 0 AND NOT has_table_privilege(a.grantee, $2, 'INSERT')
         END`,
      [quoteIdentifier(database.schema), `${quoteIdentifier(database.schema)}.worker`],
    )
    .catch((error: unknown) => {
      throw translateSqlError(error);
    });
  return judgeRoles(JSON.parse(rows[0]?.found ?? '[]') as ForgingRole[]);
};

const HARM: Readonly<Record<string, string>> = {
  outbox: 'can write rows that a relay publishes again and again, and to every topic',
  scheduled_message: 'can write messages past the functions that check them',
  audit: 'can empty the audit',
  saga_mail: 'can settle runs as it likes, without a row in the audit',
  saga_journal: 'can end runs as it likes',
};

/** Pure. */
export function judgeRoles(found: readonly ForgingRole[]): readonly CheckFinding[] {
  return found.map(({ role, table }) => ({
    level: 'warn',
    check: 'roles.forge',
    what: `The role ${role} ${HARM[table] ?? 'can write what only functions should write'}: it has rights on ${table}.`,
    advice: 'Give it the functions that docs/roles.md lists for its part, and revoke its rights on the table.',
  }));
}

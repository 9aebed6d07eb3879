/**
 * The doctor's look at rights that are missing or too many: roles that have some of the rights of a part and lack others, as after an
 * upgrade whose grants were not applied; functions that everybody may execute; functions that run with the rights of the wrong role.
 */
import type { Database } from '../../postgres/database.ts';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import { rowsBySql } from '../reads/reads.ts';
import { expectedSchema, type ExpectedSchema, type PartGrant } from './expected-schema.ts';
import type { Check, CheckFinding } from './finding.ts';

/** By one right that no other part has, a role is known for its part. The first that fits counts. */
const MARKS: readonly { readonly part: string; readonly object: RegExp; readonly privilege: string }[] = [
  { part: 'worker', object: /^worker$/, privilege: 'INSERT' },
  { part: 'relay', object: /^subscription$/, privilege: 'INSERT' },
  { part: 'consumer', object: /^delivery_attempt$/, privilege: 'INSERT' },
  { part: 'participant', object: /^participant_call$/, privilege: 'INSERT' },
  { part: 'operator', object: /^act_on_saga_run\(/, privilege: 'EXECUTE' },
  { part: 'starter', object: /^start_runs\(/, privilege: 'EXECUTE' },
  { part: 'service', object: /^write_message\(/, privilege: 'EXECUTE' },
];
/** What a worker may by `GRANT … ON ALL FUNCTIONS` beside what it calls is no lack. */
const NOT_CALLED = /^(?:allow_topics|check_topic|keep_audit|refuse_saga_move)\(/;

interface DirectGrant {
  readonly role: string;
  readonly object: string;
  readonly privilege: string;
}

/** One right that a role of a part lacks. */
export interface LackingRight {
  readonly role: string;
  readonly part: string;
  readonly kind: PartGrant['kind'];
  readonly object: string;
  readonly privilege: string;
}

export const checkGrants: Check = async (database) => {
  const expected = await expectedSchema(database.schema);
  return [
    ...judgeGrants(await lackingRights(database, expected), database.schema),
    ...(await executableByAll(database, expected)),
    ...(await doorOwners(database)),
  ];
};

async function directGrants(database: Database): Promise<readonly DirectGrant[]> {
  return rowsBySql<DirectGrant>(
    database,
    `SELECT r.rolname::text AS role, o.object, a.privilege_type AS privilege FROM (
       SELECT c.relname::text AS object, c.relacl AS acl, c.relowner AS owner
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'S')
       UNION ALL
       SELECT format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), p.proacl, p.proowner
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1) AS o
     CROSS JOIN LATERAL aclexplode(o.acl) AS a JOIN pg_roles r ON r.oid = a.grantee AND NOT r.rolsuper
     WHERE a.grantee <> o.owner`,
    [database.schema],
  );
}

async function lackingRights(database: Database, { grants }: ExpectedSchema): Promise<readonly LackingRight[]> {
  const direct = await directGrants(database);
  const asked = [...partsOfRoles(direct)].flatMap(([role, parts]) =>
    grants
      .filter(({ part, object }) => parts.has(part) && !NOT_CALLED.test(object))
      .flatMap(({ privileges, ...grant }) => privileges.map((privilege) => ({ role, ...grant, privilege }))),
  );
  if (asked.length === 0) return [];
  // By membership counts as well. What is not there is told of by checkDrift.
  return rowsBySql<LackingRight>(
    database,
    `SELECT w.role, w.part, w.kind, w.object, w.privilege
     FROM json_to_recordset($2::json) AS w (role text, part text, kind text, object text, privilege text)
     WHERE EXISTS (SELECT FROM pg_roles r WHERE r.rolname = w.role) AND CASE w.kind
       WHEN 'table' THEN EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = w.object AND NOT has_table_privilege(w.role::name, c.oid, w.privilege))
       WHEN 'sequence' THEN EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = w.object AND NOT has_sequence_privilege(w.role::name, c.oid, w.privilege))
       ELSE EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname = $1 AND p.proname = split_part(w.object, '(', 1)
           AND format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) = w.object
           AND NOT has_function_privilege(w.role::name, p.oid, w.privilege)) END
     ORDER BY 1, 2, 3, 4`,
    [database.schema, JSON.stringify(asked)],
  );
}

/** Pure. A worker, which may call all functions, is no starter for that. */
export function partsOfRoles(direct: readonly DirectGrant[]): ReadonlyMap<string, ReadonlySet<string>> {
  const parts = new Map<string, Set<string>>();
  for (const { part, object: pattern, privilege: wanted } of MARKS) {
    for (const { role, object, privilege } of direct) {
      if (privilege !== wanted || !pattern.test(object)) continue;
      const known = parts.get(role) ?? new Set<string>();
      const byFunction = wanted === 'EXECUTE';
      if (!(byFunction && known.has('worker'))) known.add(part);
      parts.set(role, known);
    }
  }
  return parts;
}

/** Pure. One finding for each role and part. */
export function judgeGrants(lacking: readonly LackingRight[], schema: string): readonly CheckFinding[] {
  const byRole = new Map<string, LackingRight[]>();
  for (const right of lacking) {
    const key = `${right.role} ${right.part}`;
    byRole.set(key, [...(byRole.get(key) ?? []), right]);
  }
  return [...byRole.values()].flatMap((rights): readonly CheckFinding[] => {
    const [first] = rights;
    if (first === undefined) return [];
    const shown = rights.slice(0, 5).map(({ object, privilege }) => `${privilege} on ${object.replace(/\(.*$/s, '')}`);
    const more = rights.length > shown.length ? ` and ${rights.length - shown.length} more` : '';
    return [
      {
        level: 'warn',
        check: 'roles.missing-grant',
        what: `The role ${first.role} has rights of a ${first.part}, and lacks ${shown.join(', ')}${more}.`,
        advice: 'Apply the grants of docs/roles.md for its part again, as after each upgrade.',
        repair: rights.map((right) => grantSql(right, schema)).join('\n'),
      },
    ];
  });
}

function grantSql({ role, kind, object, privilege }: LackingRight, schema: string): string {
  const s = quoteIdentifier(schema);
  const to = `TO ${quoteIdentifier(role)};`;
  if (kind !== 'function')
    return `GRANT ${privilege} ON ${kind === 'sequence' ? 'SEQUENCE ' : ''}${s}.${quoteIdentifier(object)} ${to}`;
  return `GRANT EXECUTE ON FUNCTION ${s}.${object} ${to}`;
}

async function executableByAll(database: Database, { objects }: ExpectedSchema): Promise<readonly CheckFinding[]> {
  const closed = objects.filter(({ kind, forAll }) => kind === 'function' && forAll !== true).map(({ name }) => name);
  const open = await rowsBySql<{ readonly name: string }>(
    database,
    `SELECT name FROM (
       SELECT format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) AS name, p.proacl AS acl
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1) AS f
     WHERE name = ANY ($2::text[]) AND (acl IS NULL OR EXISTS (
       SELECT FROM aclexplode(acl) AS a WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')) ORDER BY name`,
    [database.schema, closed],
  );
  if (open.length === 0) return [];
  const names = open.map(({ name }) => name);
  return [
    {
      level: 'warn',
      check: 'roles.public-execute',
      what: `Everybody who may use the schema may execute ${names.map((name) => name.replace(/\(.*$/s, '')).join(', ')}.`,
      advice: 'Take it back; then apply the grants of docs/roles.md, should a role have lived on it.',
      repair: names
        .map((name) => `REVOKE ALL ON FUNCTION ${quoteIdentifier(database.schema)}.${name} FROM PUBLIC;`)
        .join('\n'),
    },
  ];
}

async function doorOwners(database: Database): Promise<readonly CheckFinding[]> {
  const found = await rowsBySql<{ readonly owner: string; readonly wanted: string; readonly names: readonly string[] }>(
    database,
    `SELECT pg_get_userbyid(p.proowner)::text AS owner, pg_get_userbyid(t.relowner)::text AS wanted,
       array_agg(format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) ORDER BY p.proname) AS names
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = 'outbox'
     WHERE n.nspname = $1 AND p.prosecdef AND p.proowner <> t.relowner AND NOT has_table_privilege(p.proowner, t.oid, 'INSERT')
     GROUP BY 1, 2`,
    [database.schema],
  );
  return found.map(({ owner, wanted, names }) => ({
    level: 'error',
    check: 'roles.door-owner',
    what: `${names.length} functions run with the rights of ${owner}, which may not write the outbox: ${names
      .slice(0, 5)
      .map((name) => name.replace(/\(.*$/s, ''))
      .join(', ')}${names.length > 5 ? ' ...' : ''}.`,
    advice: `Give them to ${wanted}, to whom the tables belong.`,
    repair: names
      .map((name) => `ALTER FUNCTION ${quoteIdentifier(database.schema)}.${name} OWNER TO ${quoteIdentifier(wanted)};`)
      .join('\n'),
  }));
}

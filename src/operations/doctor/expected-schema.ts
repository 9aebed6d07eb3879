/**
 * What the migrations make and what docs/roles.md grants, as this package ships it (migrations/expected-schema.json). Written by
 * `npm run schema` from a server on which both were applied; "holdfast" in double quotes stands for the configured schema.
 */
import { createHash } from 'node:crypto';
import { quoteIdentifier } from '../../postgres/quoting.ts';
import type { Queryable } from '../../postgres/sequences.ts';
import { shippedSchema } from '../../postgres/shipped-schema.ts';
import type { SchemaObject } from './schema-objects.ts';

/** What one part (relay, worker, consumer ...) needs of one object. */
export interface PartGrant {
  readonly part: string;
  readonly kind: 'table' | 'sequence' | 'function';
  /** Of a function, with its parameters. */
  readonly object: string;
  readonly privileges: readonly string[];
}

export interface ExpectedSchema {
  readonly objects: readonly SchemaObject[];
  readonly grants: readonly PartGrant[];
}

/** The file. Texts of several lines are lists of lines, so that a change of one shows as that. */
interface Shipped {
  readonly madeOf: string;
  readonly objects: readonly (Omit<SchemaObject, 'definition'> & { readonly definition: string | readonly string[] })[];
  readonly grants: readonly PartGrant[];
}

/** In the given schema. */
export async function expectedSchema(schema: string): Promise<ExpectedSchema> {
  const { objects, grants } = JSON.parse(await shippedSchema()) as Shipped;
  const quoted = quoteIdentifier(schema);
  return {
    objects: objects.map(({ definition, ...object }) => ({
      ...object,
      definition: (typeof definition === 'string' ? definition : definition.join('\n')).replaceAll(
        '"holdfast"',
        quoted,
      ),
    })),
    grants,
  };
}

/** The text of the file. `sources`: of migrations and grants, by which it is seen whether the file is that of now. */
export function writeExpectedSchema(expected: ExpectedSchema, sources: readonly string[]): string {
  const shipped: Shipped = {
    madeOf: sourcesFingerprint(sources),
    objects: expected.objects.map(({ definition, ...object }) => ({
      ...object,
      definition: definition.includes('\n') ? definition.split('\n') : definition,
    })),
    grants: expected.grants,
  };
  return `${JSON.stringify(shipped, null, 2)}\n`;
}

export function sourcesFingerprint(sources: readonly string[]): string {
  return createHash('sha256').update(sources.join('\n')).digest('hex');
}

type GrantRow = { readonly [Key in keyof PartGrant]: PartGrant[Key] };

/** What roles behind a prefix and `_` were granted in a schema, by what stands behind that. Rejects with the driver's errors. */
export async function grantsOfRoles(on: Queryable, schema: string, prefix: string): Promise<readonly PartGrant[]> {
  const { rows } = await on.query<GrantRow>(
    `SELECT substr(r.rolname, length($2) + 2) AS part, o.kind, o.object, array_agg(a.privilege_type ORDER BY a.privilege_type) AS privileges
     FROM (
       SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, c.relname::text AS object, c.relacl AS acl
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'S')
       UNION ALL
       SELECT 'function', format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)), p.proacl
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1) AS o
     CROSS JOIN LATERAL aclexplode(o.acl) AS a JOIN pg_roles r ON r.oid = a.grantee AND starts_with(r.rolname, $2 || '_')
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
    [schema, prefix],
  );
  return rows;
}

/**
 * The OpenAPI document of the service API, made from the table of routes. Pure.
 */
import { z, type ZodType } from 'zod';
import type { ApiRoute } from './api-route.ts';
import { CSRF_HEADER } from './guards.ts';
import { pathInDatabase } from './which-database.ts';

interface JsonSchema {
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly required?: readonly string[];
}

const FAILURES: Readonly<Record<string, string>> = {
  '400': 'What was asked for cannot be read.',
  '401': 'It is not known who asks.',
  '403': 'The role does not allow it, or a page of somebody else may have sent it.',
  '404': 'What was asked for is not there.',
  '409': 'It is not possible in the state that it is in.',
  '429': 'Too many logins have failed.',
  '503': 'The database is away, or has too much to do.',
};

export interface DocumentOptions {
  readonly routes: readonly ApiRoute[];
  readonly version: string;
  readonly basePath: string;
  /** Their names. Where there are several, each route about one says which. */
  readonly databases: readonly string[];
}

export function openapiDocument({ routes, version, basePath, databases }: DocumentOptions): object {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const isAmongSeveral = route.scope === 'database' && databases.length > 1;
    const at = isAmongSeveral ? pathInDatabase(route.path, ':database') : route.path;
    const path = at.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route, isAmongSeveral ? databases : []) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast',
      version,
      description:
        'What the dashboard of Holdfast knows and does. Paths about one database are there below /api/db/NAME as well, and only there where there are several. Shapes named in answers are the types that the package `holdfast` exports; times are ISO texts.',
    },
    servers: [{ url: basePath === '' ? '/' : basePath }],
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'holdfast_session',
          description: `Begun by POST /login. Whatever is no GET then needs the header ${CSRF_HEADER}: 1.`,
        },
      },
      schemas: {
        Failure: {
          type: 'object',
          required: ['code', 'message', 'advice'],
          properties: {
            code: { type: 'string', description: 'Stable: match on this.' },
            message: { type: 'string' },
            advice: { type: ['string', 'null'] },
          },
        },
      },
    },
    paths,
  };
}

/** `databases`: of which the path names one. */
function operationOf(route: ApiRoute, databases: readonly string[]): object {
  const { method, path, role, summary, answers, body } = route;
  const security = role === null ? [] : [{ token: [] }, { session: [] }];
  const failures = Object.entries(FAILURES).map(([status, description]): [string, object] => [
    status,
    { description, content: { 'application/json': { schema: { $ref: '#/components/schemas/Failure' } } } },
  ]);
  return {
    operationId: `${method.toLowerCase()}${path.replaceAll(/[^a-z]+([a-z])/gi, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    ...(role === null ? {} : { description: `For the role ${role} and those above it.` }),
    security,
    'x-role': role,
    parameters: [...databaseParameter(databases), ...pathParameters(path), ...queryParameters(route)],
    ...(body === null
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body) } } } }),
    responses: {
      '200': { description: answers, content: { [mediaTypeOf(route)]: { schema: {} } } },
      ...Object.fromEntries(failures),
    },
  };
}

function mediaTypeOf({ isStream }: ApiRoute): string {
  return isStream === true ? 'text/event-stream' : 'application/json';
}

function databaseParameter(databases: readonly string[]): readonly object[] {
  if (databases.length === 0) return [];
  return [{ name: 'database', in: 'path', required: true, schema: { type: 'string', enum: databases } }];
}

function pathParameters(path: string): readonly object[] {
  return [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters({ query }: ApiRoute): readonly object[] {
  const { properties = {} } = schemaOf(query);
  // What has a default may be left out, whatever the schema of what comes out of it says.
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
}

/** Of what comes in: what the schema makes of it is nobody's business outside. */
function schemaOf(schema: ZodType): JsonSchema {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest;
}

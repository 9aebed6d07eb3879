/**
 * What a route of the dashboard is: one row of a table, from which the routing, the check of roles, the check of what comes in and the
 * OpenAPI document are made.
 */
import { z, type ZodType } from 'zod';
import type { Diagnosis } from '../../operations/doctor/doctor.ts';
import type { QueuesStatus } from '../../operations/doctor/read-queues.ts';
import type { Database } from '../../postgres/database.ts';
import type { Redactor } from '../../runtime/redact.ts';
import type { AnySaga } from '../../saga/definition/definition.ts';
import { RequestRefusal } from './failure.ts';
import type { Askers, Asker } from './who-asks.ts';
import type { AllDatabases } from './all-databases.ts';
import type { DashboardRole, Overview, SessionFacts } from './contract.ts';
import type { JobDesk } from './job-desk.ts';
import type { LiveStreams } from './live.ts';
import type { Poller } from './poller.ts';
import type { RequestFacts } from './request-facts.ts';
import type { Sessions } from './sessions.ts';
import type { SignOnFlow } from './sign-on.ts';

/** What all routes work with, whichever database they are about. */
export interface ProcessServices {
  readonly all: AllDatabases;
  /** Takes away the fields of payloads that nobody is shown, asked for or not. */
  readonly redact: Redactor;
  /** Null: not known here. */
  readonly sagas: readonly AnySaga[] | null;
  readonly sessions: Sessions;
  readonly askers: Askers;
  /** Null: no identity provider is asked. */
  readonly signOn: SignOnFlow | null;
  readonly basePath: string;
  readonly facts: Pick<SessionFacts, 'version' | 'schema' | 'databases' | 'redact'>;
  readonly openapi: () => unknown;
}

/** What routes about one database work with. */
export interface ApiServices extends ProcessServices {
  /** The name of the database. */
  readonly name: string;
  /** For looks: few connections, and a time limit for each statement. */
  readonly reads: Database;
  /** For acts. */
  readonly acts: Database;
  readonly overview: Poller<Overview>;
  readonly live: LiveStreams;
  readonly doctor: () => Promise<Diagnosis>;
  /** What lies in the brokers; null where there are no queues to be known of. */
  readonly queues: () => Promise<QueuesStatus | null>;
  /** Works off the jobs that are started here. */
  readonly jobs: JobDesk;
}

/** One request, checked. `query` and `body` are what the schemas of the route made of them. */
export interface ApiRequest<Query, Body> {
  /** Of the path: ':id'. */
  readonly id: string;
  readonly query: Query;
  readonly body: Body;
  readonly facts: RequestFacts;
  readonly header: (name: string) => string | null;
  readonly signal: AbortSignal;
}

/** A request of somebody who is known. */
export interface AskedRequest<Query, Body> extends ApiRequest<Query, Body> {
  readonly by: Asker;
}

interface RouteBase {
  readonly method: 'GET' | 'POST';
  /** Below the base path; a part may be ':id'. */
  readonly path: string;
  /** What it does, for the document. */
  readonly summary: string;
  /** What it answers, for the document. */
  readonly answers: string;
  /** Of a look: what it answers is for this one asker. What all others answer is shared by those of one role who ask the same. */
  readonly isOwn?: boolean;
  /** It is no GET and yet only looks. */
  readonly isQuestion?: true;
  /** The answer goes on: server-sent events. */
  readonly isStream?: true;
}

/** A route of somebody who is known, or, with `role: null`, of anybody. Answers with JSON, unless it hands back a Response. */
export type ApiRoute = RouteBase & {
  readonly query: ZodType;
  readonly body: ZodType | null;
} & (
    | {
        /** About no one database, or about all. */
        readonly scope: 'process';
        readonly role: null;
        readonly handle: (request: ApiRequest<never, never>, services: ProcessServices) => unknown;
      }
    | {
        readonly scope: 'process';
        readonly role: DashboardRole;
        readonly handle: (request: AskedRequest<never, never>, services: ProcessServices) => unknown;
      }
    | {
        /** About one database: it is there below /api/db/NAME as well, and only there where there are several. */
        readonly scope: 'database';
        readonly role: DashboardRole;
        readonly handle: (request: AskedRequest<never, never>, services: ApiServices) => unknown;
      }
  );

/** Of a look that is shared: it goes on for the others when whoever came first has gone. */
export const NEVER_ABORTED: AbortSignal = new AbortController().signal;

type Look<Query, Services> = Omit<RouteBase, 'method'> & {
  readonly role?: DashboardRole;
  readonly query?: ZodType<Query>;
  readonly handle: (request: AskedRequest<Query, null>, services: Services) => unknown;
};

/** A route that looks at one database. `query`: what may stand behind the question mark; what is not in it is refused. */
export function look<Query = object>(route: Look<Query, ApiServices>): ApiRoute {
  const { role = 'viewer', query, handle, ...rest } = route;
  return { ...rest, scope: 'database', method: 'GET', role, query: query ?? NOTHING, body: null, handle };
}

/** A route that looks at no one database, or at all of them. */
export function processLook<Query = object>(route: Look<Query, ProcessServices>): ApiRoute {
  const { role = 'viewer', query, handle, ...rest } = route;
  return { ...rest, scope: 'process', method: 'GET', role, query: query ?? NOTHING, body: null, handle };
}

/** A route that acts. */
export function act<Body>(
  route: Omit<RouteBase, 'method'> & {
    readonly role?: DashboardRole;
    readonly body: ZodType<Body>;
    readonly handle: (request: AskedRequest<unknown, Body>, services: ApiServices) => unknown;
  },
): ApiRoute {
  const { role = 'operator', handle, ...rest } = route;
  return { ...rest, scope: 'database', method: 'POST', role, query: NOTHING, handle };
}

/** A route that looks, for a question that has no room in an address. It changes nothing, so it wants no reason. */
export function question<Body>(
  route: Omit<RouteBase, 'method' | 'isQuestion'> & {
    readonly role?: DashboardRole;
    readonly body: ZodType<Body>;
    readonly handle: (request: AskedRequest<unknown, Body>, services: ApiServices) => unknown;
  },
): ApiRoute {
  return { ...act(route), isQuestion: true };
}

const NOTHING = z.strictObject({});

/** What the schema makes of what came; `where` is for the message. Throws RequestRefusal. */
export function checked(schema: ZodType, given: unknown, where: string): unknown {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.join(', ') : null;
  const place = issue === undefined || issue.path.length === 0 ? where : `${where}: ${issue.path.join('.')}`;
  throw new RequestRefusal(
    400,
    'HF_REQUEST',
    unknown === null
      ? `${place} cannot be used: ${issue?.message ?? 'it has the wrong shape'}.`
      : `${where} has an unknown ${unknown}.`,
    { advice: 'See openapi.json beside it for what may be given.' },
  );
}

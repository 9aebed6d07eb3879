/**
 * Asking the server: reads, and acts with the header that forged requests cannot bring. What fails is an RequestFailure, which says what to
 * do as the server's errors do.
 */
import { signal } from '@preact/signals';
import { noteServerTime } from './clock.ts';
import { here, searchOf, type QueryValues } from './router.ts';
import type { ApiFailure, LoginNeeded, SessionFacts } from '../../server/contract.ts';

/** An answer that is none, or that refuses. */
export class RequestFailure extends Error {
  /** Of HTTP; 0: there was no answer. */
  readonly status: number;
  readonly code: string;
  readonly advice: string | null;

  constructor(status: number, { code, message, advice }: ApiFailure) {
    super(message);
    this.status = status;
    this.code = code;
    this.advice = advice;
  }
}

/** What anything that was thrown is to people. */
export function failureFrom(error: unknown): RequestFailure {
  if (error instanceof RequestFailure) return error;
  return new RequestFailure(0, { code: 'PAGE', message: String(error), advice: 'Reload the page.' });
}

export type SessionState =
  | { readonly state: 'asking' }
  | { readonly state: 'in'; readonly session: SessionFacts }
  /** `form`: there is a form to sign in by. `signOn`: what the identity provider is called; null: there is none. */
  | { readonly state: 'out'; readonly form: boolean; readonly signOn: string | null }
  | { readonly state: 'failed'; readonly failure: RequestFailure };

/** Until the server has said its name. */
const CSRF = 'x-holdfast-csrf';

export const sessionState = signal<SessionState>({ state: 'asking' });

/** About the database that is looked at, unless another one is named; paths that begin with `all/`, and the session, are about none. */
export function urlOfApi(path: string, query: QueryValues = {}, database: string | null = here.peek()): URL {
  const isOfNone = database === null || path === 'session' || path.startsWith('all/');
  const url = new URL(isOfNone ? `api/${path}` : `api/db/${database}/${path}`, document.baseURI);
  url.search = searchOf(query);
  return url;
}

/** Rejects with RequestFailure, or with the reason of the signal. */
export async function read<T>(url: URL, gone?: AbortSignal): Promise<T> {
  return ask<T>(url, gone === undefined ? {} : { signal: gone });
}

/** Rejects with RequestFailure. */
export async function sendAct<T>(path: string, body: unknown): Promise<T> {
  const current = sessionState.peek();
  const header = current.state === 'in' ? current.session.csrfHeader : CSRF;
  return ask<T>(urlOfApi(path), {
    method: 'POST',
    headers: { 'content-type': 'application/json', [header]: '1' },
    body: JSON.stringify(body),
  });
}

export async function askSession(): Promise<void> {
  try {
    sessionState.value = { state: 'in', session: await read<SessionFacts>(urlOfApi('session')) };
  } catch (error) {
    if (error instanceof RequestFailure && error.status !== 401)
      sessionState.value = { state: 'failed', failure: error };
  }
}

/** Rejects with RequestFailure for a token that is not taken. */
export async function signIn(token: string): Promise<void> {
  const answer = await send(new URL('login', document.baseURI), {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', [CSRF]: '1' },
    body: new URLSearchParams({ token }).toString(),
  });
  // Forms without script are answered with a redirect, which is not to be followed here.
  if (!answer.ok && answer.type !== 'opaqueredirect') throw new RequestFailure(answer.status, await errorOf(answer));
  await askSession();
}

export async function signOut(): Promise<void> {
  const answer = await send(new URL('logout', document.baseURI), { method: 'POST', headers: { [CSRF]: '1' } });
  const { next = null } = (await answer.json().catch(() => ({}))) as { readonly next?: string | null };
  // To where one has logged in, to log out there as well.
  if (next !== null) return location.assign(next);
  await askSession();
}

async function ask<T>(url: URL, init: RequestInit): Promise<T> {
  const answer = await send(url, init);
  if (answer.ok) return (await answer.json()) as T;
  const body = await errorOf(answer);
  if (answer.status === 401) {
    const { form = true, signOn = null } = body as Partial<LoginNeeded>;
    sessionState.value = { state: 'out', form, signOn };
  }
  throw new RequestFailure(answer.status, body);
}

async function send(url: URL, init: RequestInit): Promise<Response> {
  try {
    const answer = await fetch(url, { credentials: 'same-origin', redirect: 'manual', ...init });
    noteServerTime(answer.headers.get('date'));
    return answer;
  } catch (error) {
    if (init.signal?.aborted === true) throw error;
    throw new RequestFailure(0, {
      code: 'UNREACHABLE',
      message: 'The dashboard does not answer.',
      advice: 'It may be restarting. Ask again in a moment.',
    });
  }
}

async function errorOf(answer: Response): Promise<ApiFailure> {
  const body = (await answer.json().catch(() => null)) as Partial<ApiFailure> | null;
  return {
    ...body,
    code: body?.code ?? `HTTP ${answer.status}`,
    message: body?.message ?? (answer.statusText === '' ? 'The server refused.' : answer.statusText),
    advice: body?.advice ?? null,
  };
}

/**
 * One request and the status of its answer, by Node's own client, which can be given the address to connect to. Everything has a limit:
 * the whole by time, the body of the answer by size and time. Nothing is followed, and no proxy of the environment is used.
 */
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { LookupFunction } from 'node:net';
import { systemClock } from '../../runtime/clock.ts';
import { createDeadlines, type Deadlines } from '../../runtime/deadlines.ts';
import type { ResolvedEndpoint } from './endpoint.ts';
import { AddressRefused } from './guarded-lookup.ts';

export interface WebhookRequest {
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Buffer;
}

export type WebhookReply =
  | { readonly kind: 'answer'; readonly status: number; readonly retryAfter: string | null }
  /** No answer came. `code` of Node, or one of ours. */
  | { readonly kind: 'failure'; readonly code: string };

export interface WebhookClient {
  /** Rejects with the signal's reason when that aborts; everything else is a reply. */
  post(endpoint: ResolvedEndpoint, request: WebhookRequest, signal: AbortSignal): Promise<WebhookReply>;
  close(): void;
}

/** What is read of the body of an answer, so that its connection can be used again; nobody looks at it. */
const MOST_BODY_BYTES = 65_536;
const BODY_MS = 1_000;
/** A connection that nobody uses is closed after this. */
const IDLE_MS = 20_000;

export function createWebhookClient(lookup: LookupFunction): WebhookClient {
  const keep = { keepAlive: true, maxFreeSockets: 64, scheduling: 'lifo', timeout: IDLE_MS } as const;
  const agents = { plain: new HttpAgent(keep), secure: new HttpsAgent(keep) };
  const deadlines = createDeadlines(systemClock);
  const aborts = new Aborts();
  return {
    async post(endpoint, request, signal) {
      signal.throwIfAborted();
      if (endpoint.refused) return { kind: 'failure', code: new AddressRefused().code };
      const agent = endpoint.secure ? agents.secure : agents.plain;
      const startedAtMs = performance.now();
      const means = { lookup, deadlines, aborts, signal };
      const reply = await exchange(endpoint, request, { ...means, agent, timeoutMs: endpoint.timeoutMs });
      if (reply !== 'stale') return reply;
      // The endpoint had closed a connection that lay idle, as it may. The same again, by a fresh one, in what is left of the time.
      const leftMs = Math.max(1, endpoint.timeoutMs - (performance.now() - startedAtMs));
      const second = await exchange(endpoint, request, { ...means, agent: false, timeoutMs: leftMs });
      return second === 'stale' ? { kind: 'failure', code: 'ECONNRESET' } : second;
    },
    close() {
      agents.plain.destroy();
      agents.secure.destroy();
      deadlines.close();
    },
  };
}

/**
 * What is to be done when signals abort, with one listener for each signal: one for each request would cost more than its signature. It is
 * taken off again with the last of them, or a signal made for one batch would be held in memory for as long as it does not abort.
 */
class Aborts {
  readonly #bySignal = new Map<AbortSignal, Set<() => void>>();
  readonly #onAbort = ({ target }: Event): void => this.#bySignal.get(target as AbortSignal)?.forEach((act) => act());

  /** What comes back takes it out again. */
  add(signal: AbortSignal, act: () => void): () => void {
    const known = this.#bySignal.get(signal);
    const acts = known ?? new Set();
    if (known === undefined) {
      this.#bySignal.set(signal, acts);
      signal.addEventListener('abort', this.#onAbort);
    }
    acts.add(act);
    return () => {
      if (!acts.delete(act) || acts.size > 0) return;
      this.#bySignal.delete(signal);
      signal.removeEventListener('abort', this.#onAbort);
    };
  }
}

interface Means {
  readonly lookup: LookupFunction;
  readonly deadlines: Deadlines;
  readonly aborts: Aborts;
  readonly agent: HttpAgent | HttpsAgent | false;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

function exchange(
  endpoint: ResolvedEndpoint,
  { headers, body }: WebhookRequest,
  { lookup, deadlines, aborts, agent, signal, timeoutMs }: Means,
): Promise<WebhookReply | 'stale'> {
  const { secure, host, port, path, tls } = endpoint;
  const options: RequestOptions = { host, port, path, method: 'POST', headers, agent, lookup };
  return new Promise((resolve, reject) => {
    const request = secure ? httpsRequest({ ...options, ...tls }) : httpRequest(options);
    const finish = (): void => {
      inTime();
      noAbort();
    };
    const settle = (reply: WebhookReply | 'stale'): void => {
      finish();
      resolve(reply);
    };
    const inTime = deadlines.add(timeoutMs, () => {
      settle({ kind: 'failure', code: 'TIMEOUT' });
      request.destroy();
    });
    const noAbort = aborts.add(signal, () => {
      finish();
      request.destroy();
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
    });
    request.on('response', (response) => {
      const retryAfter = response.headers['retry-after'] ?? null;
      settle({ kind: 'answer', status: response.statusCode ?? 0, retryAfter });
      letGo(response, deadlines);
    });
    // Also what comes after it was settled, which nobody is to hear of.
    request.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? 'ERROR';
      settle(request.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE') ? 'stale' : { kind: 'failure', code });
    });
    request.end(body);
  });
}

/** Reads the rest of an answer, so that the connection is free again; gives the connection up where that is long or slow in coming. */
function letGo(response: IncomingMessage, deadlines: Deadlines): void {
  let bytes = 0;
  const inTime = deadlines.add(BODY_MS, () => response.destroy());
  response.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes > MOST_BODY_BYTES) response.destroy();
  });
  response.on('error', () => {});
  response.on('close', inTime);
}

/**
 * Finds endpoints by name: in a list that was given at start, or by a function of the user's, whose answers are kept for a while.
 */
import { HoldfastError } from '../../errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import { badOption } from '../../runtime/options.ts';
import { withTimeout } from '../../runtime/timeout.ts';
import { type EndpointRules, type ResolvedEndpoint, resolveEndpoint, type WebhookEndpoint } from './endpoint.ts';

/** Null: nobody wants it, and the message is done with. */
export type FindEndpoint = (
  name: string,
  options: { readonly signal: AbortSignal },
) => Promise<WebhookEndpoint | null> | WebhookEndpoint | null;

export type FoundEndpoint =
  | { readonly kind: 'endpoint'; readonly endpoint: ResolvedEndpoint }
  | { readonly kind: 'nobody' }
  /** There is none that could be used, and asking again does not help. */
  | { readonly kind: 'unusable'; readonly error: Error }
  /** It could not be found out. */
  | { readonly kind: 'unknown'; readonly error: Error };

export interface EndpointBook {
  /** Never rejects. */
  find(name: string): Promise<FoundEndpoint>;
}

/** @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN */
export function listedEndpoints(
  endpoints: Readonly<Record<string, WebhookEndpoint>>,
  rules: EndpointRules,
): EndpointBook {
  const entries = Object.entries(endpoints);
  if (entries.length === 0) throw badOption('createWebhookTransport.endpoints', 'is empty', 'Give at least one.');
  const found = new Map(
    entries.map(([name, endpoint]) => {
      const resolved = resolveEndpoint(name, endpoint, rules);
      if (resolved.refused)
        throw badOption(
          `The endpoint ${JSON.stringify(name)}`,
          'has an address that is not public',
          'For a network of your own give its subnet as allowPrivate.',
        );
      return [name, { kind: 'endpoint', endpoint: resolved } as const];
    }),
  );
  return {
    async find(name) {
      return found.get(name) ?? { kind: 'unusable', error: noSuchEndpoint(name) };
    },
  };
}

function noSuchEndpoint(name: string): HoldfastError {
  return new HoldfastError('HF_CONFIG', `There is no endpoint ${JSON.stringify(name)}.`, {
    advice: 'Add it to endpoints, or change the route, and restart the relay; then `holdfast parked retry`.',
  });
}

/** How long the user's function may take, in milliseconds. */
const FIND_MS = 2_000;
/** After it failed it is not asked for the same name for so long, in milliseconds. */
const AFTER_FAILURE_MS = 1_000;
/** Names that are remembered. */
const MOST_NAMES = 10_000;

interface Kept {
  readonly found: Promise<FoundEndpoint>;
  untilMs: number;
}

export class AskedEndpoints implements EndpointBook {
  readonly #ask: FindEndpoint;
  readonly #rules: EndpointRules;
  readonly #cacheMs: number;
  readonly #clock: Clock;
  /** The one that was asked for longest ago first. */
  readonly #kept = new Map<string, Kept>();

  constructor(ask: FindEndpoint, rules: EndpointRules, { cacheMs, clock }: { cacheMs: number; clock: Clock }) {
    this.#ask = ask;
    this.#rules = rules;
    this.#cacheMs = cacheMs;
    this.#clock = clock;
  }

  find(name: string): Promise<FoundEndpoint> {
    const nowMs = this.#clock.monotonic();
    const known = this.#kept.get(name);
    if (known !== undefined && known.untilMs > nowMs) return known.found;
    const found = this.#askFor(name);
    const kept: Kept = { found, untilMs: Infinity };
    this.#kept.delete(name);
    this.#kept.set(name, kept);
    if (this.#kept.size > MOST_NAMES) this.#kept.delete(this.#kept.keys().next().value as string);
    void found.then(({ kind }) => {
      kept.untilMs = this.#clock.monotonic() + (kind === 'unknown' ? AFTER_FAILURE_MS : this.#cacheMs);
    });
    return found;
  }

  async #askFor(name: string): Promise<FoundEndpoint> {
    let endpoint: WebhookEndpoint | null;
    try {
      endpoint = await withTimeout(async (signal) => this.#ask(name, { signal }), {
        timeoutMs: FIND_MS,
        onTimeout: () => new Error(`no answer within ${FIND_MS} ms`),
      });
    } catch (cause) {
      return { kind: 'unknown', error: notFound(name, cause) };
    }
    // Only null says so: a function that forgets to answer must not lose messages.
    if (endpoint === null) return { kind: 'nobody' };
    try {
      return { kind: 'endpoint', endpoint: resolveEndpoint(name, endpoint, this.#rules) };
    } catch (error) {
      return { kind: 'unusable', error: error as Error };
    }
  }
}

function notFound(name: string, cause: unknown): HoldfastError {
  const said = cause instanceof Error ? cause.message : String(cause);
  return new HoldfastError(
    'HF_TRANSPORT_UNAVAILABLE',
    `The endpoint ${JSON.stringify(name)} cannot be looked up: ${said}.`,
    {
      advice: 'See that `endpoints` answers. Its messages are parked, and go out when it does.',
      cause,
    },
  );
}

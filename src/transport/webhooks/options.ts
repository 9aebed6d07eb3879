/**
 * The options of the webhook transport, checked and with defaults.
 */
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import { parseDuration, type Duration } from '../../runtime/duration.ts';
import { safeHook } from '../../runtime/observers.ts';
import type { OutboundMessage } from '../port.ts';
import { throttleErrors } from '../throttle-errors.ts';
import { createAddressGuard, type AddressGuard } from './address-guard.ts';
import type { EndpointRules, WebhookEndpoint } from './endpoint.ts';
import type { FindEndpoint } from './endpoint-book.ts';
import type { HealthPolicy } from './endpoint-health.ts';
import type { EndingAnswers } from './judge.ts';
import type { WebhookBody } from './webhook-request.ts';

/** A message that is to be sent as a webhook. */
export interface WebhookMessage {
  readonly id: string;
  readonly topic: string;
  /** Null: it has no order. */
  readonly key: string | null;
  /** What the route of the relay names. */
  readonly destination: string;
}

/** Options of {@link createWebhookTransport}. */
export interface WebhookTransportOptions {
  /**
   * Where webhooks go, by name. Or a function that finds an endpoint by its name, such as one that reads the table in which customers have
   * registered theirs; null: nobody wants it, and the message is done with. It has two seconds, and what it says is kept for `cacheFor`.
   */
  readonly endpoints: Readonly<Record<string, WebhookEndpoint>> | FindEndpoint;
  /**
   * Which endpoint a message is for. Null: none, and the message is done with.
   *
   * @defaultValue the destination that the route names
   */
  readonly endpointOf?: ((message: WebhookMessage) => string | null) | undefined;
  /**
   * How long the answers of the function `endpoints` are kept: what is changed or taken away counts after that.
   *
   * @defaultValue '10s'
   */
  readonly cacheFor?: Duration | undefined;
  /**
   * What the body is. 'standard': `{ type, timestamp, data }`, as Standard Webhooks recommends. 'cloudevents': the whole envelope
   * (docs/wire-format.md), with who sent it and the headers of the sender.
   *
   * @defaultValue 'standard'
   */
  readonly body?: WebhookBody | undefined;
  /**
   * How long one publish may take: what there is no time for is left for the next one. Shorter than `publishTimeout` of the subscription,
   * longer than `timeout` of each endpoint.
   *
   * @defaultValue '8s'
   */
  readonly publishWithin?: Duration | undefined;
  /**
   * An endpoint that has kept the others of its subscription waiting for longer than this is left alone for nine times as long.
   *
   * @defaultValue '1s'
   */
  readonly patience?: Duration | undefined;
  /**
   * When an endpoint that fails is left alone, and how long at first; twice as long each time it fails again, up to five minutes.
   *
   * @defaultValue 3 failures in a row, '5s'
   */
  readonly breaker?:
    | { readonly consecutiveFailures?: number | undefined; readonly halfOpenAfter?: Duration | undefined }
    | undefined;
  /**
   * Which answers end a message: it is then parked until a person acts. 'client-errors': 3xx and 4xx but 408, 425 and 429. 'gone': 410 alone,
   * everything else is tried again as `parkedRetry` of the subscription has it.
   *
   * @defaultValue 'client-errors'
   */
  readonly refuseForGood?: EndingAnswers | undefined;
  /**
   * Allow `http://` addresses.
   *
   * @defaultValue false
   */
  readonly allowHttp?: boolean | undefined;
  /**
   * Addresses beside those of the public internet that may be sent to: subnets such as `10.1.0.0/16`, or true for all. Not where strangers
   * register endpoints: they could have this process speak to what only it can reach.
   *
   * @defaultValue none
   */
  readonly allowPrivate?: boolean | readonly string[] | undefined;
  /**
   * Requests at once, to all endpoints together.
   *
   * @defaultValue 64
   */
  readonly concurrency?: number | undefined;
  /**
   * A message whose envelope is larger than this many bytes is refused for good.
   *
   * @defaultValue 1 MiB
   */
  readonly maxMessageBytes?: number | undefined;
  /** Told the name of an endpoint that answered 410: it wants nothing more. */
  readonly onGone?: ((endpoint: string) => void) | undefined;
  /** Told of endpoints that fail and are left alone, and ever more rarely of one that goes on failing. */
  readonly onError?: ((error: Error) => void) | undefined;
}

export interface WebhookSettings {
  readonly guard: AddressGuard;
  readonly rules: EndpointRules;
  readonly endpointOf: (message: OutboundMessage) => string | null;
  readonly cacheMs: number;
  readonly form: WebhookBody;
  readonly publishWithinMs: number;
  readonly patienceMs: number;
  readonly policy: HealthPolicy;
  readonly ending: EndingAnswers;
  readonly concurrency: number;
  readonly maxMessageBytes: number;
  readonly onGone: (name: string) => void;
  readonly onError: (error: Error) => void;
}

const KNOWN = [
  'endpoints',
  'endpointOf',
  'cacheFor',
  'body',
  'publishWithin',
  'patience',
  'breaker',
  'refuseForGood',
  'allowHttp',
  'allowPrivate',
  'concurrency',
  'maxMessageBytes',
  'onGone',
  'onError',
] as const;
const WHERE = 'createWebhookTransport';

/** @throws HoldfastError HF_CONFIG, HF_DURATION, HF_OPTION_UNKNOWN */
export function resolveWebhookOptions(options: WebhookTransportOptions): WebhookSettings {
  refuseUnknownOptions(options, KNOWN, WHERE);
  refuseUnknownOptions(options.breaker ?? {}, ['consecutiveFailures', 'halfOpenAfter'], `${WHERE}.breaker`);
  const { endpoints, endpointOf, allowPrivate = false } = options;
  if (typeof endpoints !== 'function' && (typeof endpoints !== 'object' || endpoints === null))
    throw badOption(
      WHERE,
      'has no endpoints',
      "Give { name: { url: 'https://…', secrets: 'whsec_…' } }, or a function.",
    );
  const publishWithinMs = longer(options.publishWithin ?? '8s', 'publishWithin');
  const guard = createAddressGuard(allowPrivate, `${WHERE}.allowPrivate`);
  return {
    guard,
    rules: { guard, allowHttp: options.allowHttp ?? false, publishWithinMs },
    endpointOf: namedBy(endpointOf),
    cacheMs: longer(options.cacheFor ?? '10s', 'cacheFor'),
    form: oneOf(options.body ?? 'standard', ['standard', 'cloudevents'], 'body'),
    publishWithinMs,
    patienceMs: longer(options.patience ?? '1s', 'patience'),
    policy: {
      consecutiveFailures: whole(options.breaker?.consecutiveFailures ?? 3, 'breaker.consecutiveFailures'),
      halfOpenAfterMs: longer(options.breaker?.halfOpenAfter ?? '5s', 'breaker.halfOpenAfter'),
    },
    ending: oneOf(options.refuseForGood ?? 'client-errors', ['client-errors', 'gone'], 'refuseForGood'),
    concurrency: whole(options.concurrency ?? 64, 'concurrency'),
    maxMessageBytes: whole(options.maxMessageBytes ?? 1_048_576, 'maxMessageBytes'),
    onGone: safeHook(options.onGone, 'onGone of a transport'),
    onError: throttleErrors(safeHook(options.onError, 'onError of a transport')),
  };
}

function namedBy(endpointOf: WebhookTransportOptions['endpointOf']): WebhookSettings['endpointOf'] {
  if (endpointOf === undefined) return ({ destination }) => destination;
  if (typeof endpointOf !== 'function')
    throw badOption(`${WHERE}.endpointOf`, 'is no function', 'Give one, or leave it out.');
  return ({ id, topic, key, destination }) => {
    const name: unknown = endpointOf({ id, topic, key, destination });
    // A function that forgets to answer must not lose messages.
    if (name === null || (typeof name === 'string' && name !== '')) return name;
    throw new TypeError(`endpointOf answered with neither a name nor null for ${topic}, but with ${typeof name}`);
  };
}

function longer(value: Duration, name: string): number {
  const ms = parseDuration(value, `${WHERE}.${name}`);
  if (ms > 0) return ms;
  throw badOption(`${WHERE}.${name}`, `is ${ms} ms`, 'Give what is more than 0.');
}

function whole(value: number, name: string): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw badOption(`${WHERE}.${name}`, `is ${value}`, 'Give a whole number from 1.');
}

function oneOf<Value extends string>(value: Value, known: readonly Value[], name: string): Value {
  if (known.includes(value)) return value;
  throw badOption(`${WHERE}.${name}`, `is ${JSON.stringify(value)}`, `Give one of ${known.join(', ')}.`);
}

/**
 * Mistakes in what the webhook transport decides: where it may send, what an answer means, when an endpoint is left alone, what is signed.
 */
import type { Mutant } from '../mutant.ts';

const GUARD = 'src/transport/webhooks/address-guard.ts';
const JUDGE = 'src/transport/webhooks/judge.ts';
const HEALTH = 'src/transport/webhooks/endpoint-health.ts';
const STATES = 'src/transport/webhooks/endpoint-states.ts';
const REQUEST = 'src/transport/webhooks/webhook-request.ts';
const PLAN = 'src/transport/webhooks/batch-plan.ts';
const LOOKUP = 'src/transport/webhooks/guarded-lookup.ts';
const tests = ['test/transport/webhooks/decisions.test.ts'];
const states = ['test/transport/webhooks/endpoint-states.test.ts'];

export const TRANSPORT_WEBHOOKS: readonly Mutant[] = [
  {
    name: 'webhooks/guard/private-by-default',
    file: GUARD,
    from: `return !special.check(address, family) && (family === 'ipv4' || global.check(address, family));`,
    to: `return !special.check(address, family);`,
    breaks: 'whoever registers an endpoint has this process speak to IPv6 addresses that only it can reach',
    tests,
  },
  {
    name: 'webhooks/guard/translated',
    file: GUARD,
    from: 'return `${TRANSLATED}${address}/${96 + Number(bits)}`;',
    to: 'return `${TRANSLATED}${address}/128`;',
    breaks: 'private addresses are reached through a translator',
    tests,
  },
  {
    name: 'webhooks/guard/metadata-service',
    file: GUARD,
    from: `  '169.254.0.0/16',
`,
    to: '',
    breaks: 'whoever registers an endpoint reads the credentials of the machine',
    tests,
  },
  {
    name: 'webhooks/guard/own-opens-all',
    file: GUARD,
    from: `if (own.check(address, family)) return true;`,
    to: `if (allowed !== false && own.check(address, family) === own.check(address, family)) return true;`,
    breaks: 'one subnet that is allowed allows all',
    tests,
  },
  {
    name: 'webhooks/lookup/other-addresses',
    file: LOOKUP,
    from: `if (found.length === 0) throw new AddressRefused();
    return found;`,
    to: `if (found.length === 0) throw new AddressRefused();
    return wanted;`,
    breaks: 'a name with one public address leads to a private one',
    tests: states,
  },
  {
    name: 'webhooks/lookup/unchecked',
    file: LOOKUP,
    from: `wanted.filter(({ address }) => guard.allows(address));`,
    to: `wanted.filter(({ address }) => guard.allows(address) || wanted.length > 1);`,
    breaks: 'a name with several addresses leads to private ones',
    tests: states,
  },
  {
    name: 'webhooks/judge/redirect-is-taken',
    file: JUDGE,
    from: `if (status >= 200 && status < 300) return { kind: 'taken' };`,
    to: `if (status >= 200 && status < 400) return { kind: 'taken' };`,
    breaks: 'I1: what an endpoint sends elsewhere counts as delivered',
    tests,
  },
  {
    name: 'webhooks/judge/busy-is-for-good',
    file: JUDGE,
    from: `new Set([408, 425, 429]);`,
    to: `new Set([408, 425]);`,
    breaks: 'I16: an endpoint that asks for time loses the message',
    tests,
  },
  {
    name: 'webhooks/judge/failure-is-for-good',
    file: JUDGE,
    from: `const isClientError = status < 500 && !PASSING.has(status);`,
    to: `const isClientError = status <= 500 && !PASSING.has(status);`,
    breaks: 'I16: a fault of the endpoint parks messages',
    tests,
  },
  {
    name: 'webhooks/judge/anybody-may-end',
    file: JUDGE,
    from: `if (isClientError && ending === 'client-errors') {`,
    to: `if (isClientError) {`,
    breaks: 'I16: a 404 during a deployment parks messages of those who have said that it does not',
    tests,
  },
  {
    name: 'webhooks/judge/time-in-milliseconds',
    file: JUDGE,
    from: `return Number(header) * 1_000;`,
    to: `return Number(header);`,
    breaks: 'an endpoint that asks for a minute is asked again after a moment',
    tests,
  },
  {
    name: 'webhooks/judge/past-date',
    file: JUDGE,
    from: `Math.max(0, Date.parse(header) - nowMs)`,
    to: `Date.parse(header) - nowMs`,
    breaks: 'a wait of less than nothing',
    tests,
  },
  {
    name: 'webhooks/judge/refused-address-comes-back',
    file: JUDGE,
    from: `if (code === 'ADDRESS_REFUSED') {`,
    to: `if (code === 'ADDRESS_DENIED') {`,
    breaks: 'what may never be sent is tried for ever',
    tests,
  },
  {
    name: 'webhooks/health/counted-while-resting',
    file: HEALTH,
    from: `  if (restLeftMs(health, nowMs) > 0) return health;
`,
    to: '',
    breaks: 'one outage leaves an endpoint alone for many times as long',
    tests,
  },
  {
    name: 'webhooks/health/tried-with-all',
    file: HEALTH,
    from: `return { failures: consecutiveFailures - 1, openings,`,
    to: `return { failures: 0, openings,`,
    breaks: 'an endpoint that is still down has to fail as often again before it rests',
    tests,
  },
  {
    name: 'webhooks/health/never-longer',
    file: HEALTH,
    from: `halfOpenAfterMs * 2 ** (openings - 1));`,
    to: `halfOpenAfterMs);`,
    breaks: 'a dead endpoint is asked every few seconds for ever',
    tests,
  },
  {
    name: 'webhooks/health/for-ever-longer',
    file: HEALTH,
    from: `const longestMs = Math.min(LONGEST_REST_MS, `,
    to: `const longestMs = Math.max(0, `,
    breaks: 'I17: an endpoint that was away for a night is left alone for a month',
    tests,
  },
  {
    name: 'webhooks/health/asked-is-forgotten',
    file: HEALTH,
    from: `return { ...health, restUntilMs: Math.max(health.restUntilMs, nowMs + restMs) };`,
    to: `return { ...health, restUntilMs: nowMs + restMs };`,
    breaks: 'a shorter wait ends a longer one',
    tests,
  },
  {
    name: 'webhooks/health/asked-for-ever',
    file: HEALTH,
    from: `Math.min(waitMs, LONGEST_ASKED_MS)`,
    to: `waitMs`,
    breaks: 'I17: an endpoint that asks for a year gets it',
    tests,
  },
  {
    name: 'webhooks/health/success-ends-the-wait',
    file: HEALTH,
    from: `return { failures: 0, openings: 0, restUntilMs };`,
    to: `return { failures: 0, openings: 0, restUntilMs: restUntilMs * 0 };`,
    breaks: 'an answer that was under way ends the wait that an endpoint has asked for',
    tests,
  },
  {
    name: 'webhooks/states/rest-unsaid',
    file: STATES,
    from: `if (after.openings > before.openings) onRest(`,
    to: `if (after.openings > before.openings + 1) onRest(`,
    breaks: 'I17: an endpoint is left alone in silence',
    tests: states,
  },
  {
    name: 'webhooks/states/well-after-one-failure',
    file: STATES,
    from: `if (failures === 0 && openings === 0 && restLeftMs(`,
    to: `if (openings === 0 && restLeftMs(`,
    breaks: 'an endpoint that fails never rests',
    tests: states,
  },
  {
    name: 'webhooks/states/rest-forgotten',
    file: STATES,
    from: `if (failures === 0 && openings === 0 && restLeftMs(health, this.#options.clock.monotonic()) === 0) return;`,
    to: `if (failures === 0 && openings === 0) return;`,
    breaks: 'what an endpoint asks for is forgotten at once',
    tests: states,
  },
  {
    name: 'webhooks/states/failing-ones-stay-failed',
    file: STATES,
    from: `if (this.#states.has(name)) this.#set(name, healthAfterSuccess(this.#of(name)));`,
    to: `if (!this.#states.has(name)) this.#set(name, healthAfterSuccess(this.#of(name)));`,
    breaks: 'failures that are not in a row leave an endpoint alone',
    tests: states,
  },
  {
    name: 'webhooks/request/header-for-signature',
    file: REQUEST,
    from: `      'user-agent': 'holdfast',
      ...endpoint.headers,
`,
    to: `      'user-agent': 'holdfast',
`,
    breaks: 'an endpoint that wants a token gets none',
    tests,
  },
  {
    name: 'webhooks/request/digits',
    file: REQUEST,
    from: `const [data, time] = memberTexts(wire, ['data', 'time']);`,
    to: `const [, time] = memberTexts(wire, ['data', 'time']);
  const data = JSON.stringify((JSON.parse(wire) as { data?: unknown }).data);`,
    breaks: 'digits of large numbers are lost',
    tests,
  },
  {
    name: 'webhooks/plan/keys-side-by-side',
    file: PLAN,
    from: `const known = key === null ? undefined : byKey.get(key);`,
    to: `const known = key === null ? byKey.get('') : undefined;`,
    breaks: 'I3: messages of a key are under way at once',
    tests,
  },
];

/**
 * Mistakes in what somebody who is let in to the dashboard may see and do, in logins at an identity provider, and in what requests bring.
 */
import type { Mutant } from '../mutant.ts';

const SERVER = 'src/dashboard/server';
const CLAIMS = `${SERVER}/oidc-claims.ts`;
const SIGN_ON = `${SERVER}/sign-on.ts`;
const HIDDEN = `${SERVER}/hidden.ts`;
const SEARCH = `${SERVER}/value-search.ts`;
const BODY = `${SERVER}/body.ts`;
const OPTIONS = `${SERVER}/options.ts`;
const LOOKS = `${SERVER}/shared-looks.ts`;
const ROLES = `${SERVER}/authenticator.ts`;
const RULED = 'test/dashboard/oidc-rules.test.ts';
const KEPT = 'test/dashboard/hidden.test.ts';
const READ = 'test/dashboard/body.test.ts';
const SETTLED = 'test/dashboard/options.test.ts';
const SHARED = 'test/dashboard/shared-looks.test.ts';

export const DASHBOARD_RIGHTS: readonly Mutant[] = [
  {
    name: 'dashboard/roles/the-other-way-round',
    file: ROLES,
    from: 'DASHBOARD_ROLES.indexOf(role) >= DASHBOARD_ROLES.indexOf(needed)',
    to: 'DASHBOARD_ROLES.indexOf(role) <= DASHBOARD_ROLES.indexOf(needed)',
    breaks: 'a viewer may do what only an admin may',
    tests: ['test/dashboard/access.test.ts'],
  },
  {
    name: 'dashboard/oidc/unverified-address',
    file: CLAIMS,
    from: "const isDoubtful = name === 'email' && claims['email_verified'] === false;",
    to: 'const isDoubtful = false;',
    breaks: 'somebody acts under the address of another one',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/inherited-claims',
    file: CLAIMS,
    from: 'value === null || !Object.hasOwn(value, part)',
    to: 'value === null || !(part in value)',
    breaks: 'a path of claims finds what every object has',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/name-breaks-the-audit',
    file: CLAIMS,
    from: "typeof value === 'string' && NAME.test(value) && !isDoubtful",
    to: "typeof value === 'string' && !isDoubtful",
    breaks: 'a name with a line break stands in the audit as two rows',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/led-elsewhere',
    file: SIGN_ON,
    from: "if (url.origin !== origin || url.pathname.startsWith('//') ||",
    to: 'if (url.origin !== origin ||',
    breaks: 'a login leads to a page of others',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/led-to-a-logout',
    file: SIGN_ON,
    from: '  if (ELSEWHERE.test(url.pathname.slice(basePath.length))) return first;\n',
    to: '',
    breaks: 'a login leads to what is no view of the page',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/begun-long-ago',
    file: SIGN_ON,
    from: 'kept !== null && kept[0] > clock.now()',
    to: 'kept !== null',
    breaks: 'a cookie that somebody found finishes a login of last year',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/signed-for-something-else',
    file: SIGN_ON,
    from: "createTextSigner({ key, purpose: 'sign-on' })",
    to: "createTextSigner({ key, purpose: 'session' })",
    breaks: 'what was signed as a session finishes a login',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/unlimited',
    file: SIGN_ON,
    from: '          limit.failed(client);\n',
    to: '',
    breaks: 'answers of a provider can be guessed without an end',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/limit-not-asked',
    file: SIGN_ON,
    from: '        if (limit.waitFor(client) > 0) return refused(429, null);\n',
    to: '',
    breaks: 'answers of a provider can be guessed without an end',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/all-at-once',
    file: SIGN_ON,
    from: '    if (underWay >= MOST_AT_ONCE) return refused(503, null);\n',
    to: '',
    breaks: 'I17: who has not logged in keeps everybody waiting for a provider that is silent',
    tests: [RULED],
  },
  {
    name: 'dashboard/oidc/cookie-used-again',
    file: SIGN_ON,
    from: ': { location: to, cookie: gone, who };',
    to: ': { location: to, cookie: null, who };',
    breaks: 'the cookie of a login stays behind, for whoever finds it',
    tests: [RULED],
  },
  {
    name: 'dashboard/hidden/scheduled',
    file: HIDDEN,
    from: '{ ...found.scheduled, payload: hide(found.scheduled.payload) }',
    to: '{ ...found.scheduled }',
    breaks: 'a payload that is hidden is shown as long as it is not due',
    tests: [KEPT],
  },
  {
    name: 'dashboard/hidden/outputs',
    file: HIDDEN,
    from: 'input: hide(call.input), output: hide(call.output) }',
    to: 'input: hide(call.input), output: call.output }',
    breaks: 'what a step gave out is shown',
    tests: [KEPT],
  },
  {
    name: 'dashboard/hidden/signals',
    file: HIDDEN,
    from: "new Set(['payload', 'result',",
    to: "new Set(['result',",
    breaks: 'the payload of a signal is shown',
    tests: [KEPT],
  },
  {
    name: 'dashboard/hidden/run-messages',
    file: HIDDEN,
    from: 'page.runMessages.map((each) => ({ ...each, body: hide(each.body) }))',
    to: 'page.runMessages',
    breaks: 'what came to a run is shown',
    tests: [KEPT],
  },
  {
    name: 'dashboard/hidden/before-the-edit',
    file: HIDDEN,
    from: 'before: hide(preview.before), after:',
    to: 'after:',
    breaks: 'who edits a message sees what is hidden',
    tests: [KEPT],
  },
  {
    name: 'dashboard/hidden/job-output',
    file: HIDDEN,
    from: 'output: hidden ? hide(output) : redact(output)',
    to: 'output: hidden ? hide(output) : output',
    breaks: 'a field that is shown to nobody is shown with a job',
    tests: [KEPT],
  },
  {
    name: 'dashboard/search/anybody',
    file: SEARCH,
    from: '(!facts.redact && redact === showAll) ||',
    to: '!facts.redact || redact === showAll ||',
    breaks: 'a viewer confirms a card’s number by searching for it',
    tests: [KEPT],
  },
  {
    name: 'dashboard/search/redacted-fields',
    file: SEARCH,
    from: 'if (isDeepStrictEqual(hiding.redact(value), value)) continue;',
    to: 'if (maySearchValues(by, hiding)) continue;',
    breaks: 'an operator confirms by searching what is shown to nobody',
    tests: [KEPT],
  },
  {
    name: 'dashboard/body/as-long-as-it-says',
    file: BODY,
    from: '    if (bytes > mostBytes) {',
    to: '    if (bytes > mostBytes && announced > 0) {',
    breaks: 'I18: a body that says nothing of its length fills the memory',
    tests: [READ],
  },
  {
    name: 'dashboard/body/any-bytes',
    file: BODY,
    from: "new TextDecoder('utf-8', { fatal: true })",
    to: "new TextDecoder('utf-8')",
    breaks: 'a reason that is no text is written as another one',
    tests: [READ],
  },
  {
    name: 'dashboard/body/blank-reason',
    file: `${SERVER}/parameters.ts`,
    from: "z.string().trim().min(1, 'a reason is required')",
    to: "z.string().min(1, 'a reason is required')",
    breaks: 'the audit says who, and a blank for why',
    tests: [READ],
  },
  {
    name: 'dashboard/options/short-key',
    file: OPTIONS,
    from: 'sessionKey !== undefined && sessionKey.length < LEAST_KEY',
    to: "sessionKey === ''",
    breaks: 'sessions are signed with what can be guessed',
    tests: [SETTLED],
  },
  {
    name: 'dashboard/options/nobody-asks',
    file: OPTIONS,
    from: "anonymous: anonymous === undefined ? null : { actor: 'anonymous', role: assertDashboardRole(anonymous, WHERE) },",
    to: "anonymous: { actor: 'anonymous', role: assertDashboardRole(anonymous ?? 'viewer', WHERE) },",
    breaks: 'who sits at the machine looks without a login, though nobody said so',
    tests: [SETTLED],
  },
  {
    name: 'dashboard/options/any-host',
    file: OPTIONS,
    from: '/^(?:[a-z0-9_-]+\\.)*[a-z0-9_-]+$/.test(name) ||',
    to: "name !== '' ||",
    breaks: 'a name with a port is never met, and all requests are refused, or a star means anything',
    tests: [SETTLED],
  },
  {
    name: 'dashboard/looks/after-an-act',
    file: LOOKS,
    from: 'forget: () => readings.clear(),',
    to: 'forget: () => {},',
    breaks: 'who has acted sees what was before',
    tests: [SHARED],
  },
  {
    name: 'dashboard/looks/failure-kept',
    file: LOOKS,
    from: '        drop,\n',
    to: '        () => {},\n',
    breaks: 'what failed for one fails for all for a second more',
    tests: [SHARED],
  },
  {
    name: 'dashboard/looks/older-one-takes-away',
    file: LOOKS,
    from: 'if (readings.get(question) === reading) readings.delete(question);',
    to: 'readings.delete(question);',
    breaks: 'fifty pages read the same anew, each for itself',
    tests: [SHARED],
  },
];

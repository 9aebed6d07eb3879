/**
 * Mistakes in the endpoints of webhooks: what is settled, how they are found, and what a batch leaves behind.
 */
import type { Mutant } from '../mutant.ts';

export const TRANSPORT_ENDPOINTS: readonly Mutant[] = [
  {
    name: 'webhooks/endpoint/user-and-password',
    file: 'src/transport/webhooks/endpoint.ts',
    from: `schemes.includes(url.protocol) && url.username + url.password === '') return url;`,
    to: `schemes.includes(url.protocol) && url.username === '') return url;`,
    breaks: 'a password in an address is left out without a word',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/endpoint/ports',
    file: 'src/transport/webhooks/endpoint.ts',
    from: '    port: Number(url.port || (secure ? 443 : 80)),',
    to: '    port: Number(url.port || 443),',
    breaks: 'a webhook over plain HTTP goes to the port of HTTPS',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/endpoint/queries',
    file: 'src/transport/webhooks/endpoint.ts',
    from: '    path: url.pathname + url.search,',
    to: '    path: url.pathname,',
    breaks: 'the query of an address, perhaps its token, is not sent',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/endpoint/address-in-the-url',
    file: 'src/transport/webhooks/endpoint.ts',
    from: '    refused: isIP(host) !== 0 && !rules.guard.allows(host),',
    to: '    refused: isIP(host) === 4 && !rules.guard.allows(host),',
    breaks: 'a webhook goes to an address within',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/book/undefined-is-nobody',
    file: 'src/transport/webhooks/endpoint-book.ts',
    from: `    if (endpoint === null) return { kind: 'nobody' };`,
    to: `    if (endpoint === null || endpoint === undefined) return { kind: 'nobody' };`,
    breaks: 'I1: a function that forgets to answer loses messages',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/book/failed-is-nobody',
    file: 'src/transport/webhooks/endpoint-book.ts',
    from: `      return { kind: 'unknown', error: notFound(name, cause) };`,
    to: `      return { kind: 'unusable', error: notFound(name, cause) };`,
    breaks: 'I1: messages are refused for good while nobody can say where they go',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/book/failure-kept',
    file: 'src/transport/webhooks/endpoint-book.ts',
    from: `(kind === 'unknown' ? AFTER_FAILURE_MS : this.#cacheMs);`,
    to: 'this.#cacheMs;',
    breaks: 'an endpoint is not looked for again for as long as a known one is kept',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/book/asked-each-time',
    file: 'src/transport/webhooks/endpoint-book.ts',
    from: '    if (known !== undefined && known.untilMs > nowMs) return known.found;',
    to: '',
    breaks: 'the function of the user is called for each message',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/book/kept-for-ever',
    file: 'src/transport/webhooks/endpoint-book.ts',
    from: '    if (known !== undefined && known.untilMs > nowMs) return known.found;',
    to: '    if (known !== undefined) return known.found;',
    breaks: 'an endpoint that was changed is never looked for again',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/book/any-number-of-names',
    file: 'src/transport/webhooks/endpoint-book.ts',
    from: '    if (this.#kept.size > MOST_NAMES) this',
    to: '    if (this.#kept.size < 0) this',
    breaks: 'I18: names of endpoints are remembered without end',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/batch/begun-too-late',
    file: 'src/transport/webhooks/batch-sender.ts',
    from: '    return isLate ? unsent(',
    to: '    return isLate && restMs > 0 ? unsent(',
    breaks: 'I17: a request begins that cannot end within its call',
    tests: ['test/transport/webhooks/slow-endpoints.test.ts'],
  },
  {
    name: 'webhooks/batch/refused-is-ill',
    file: 'src/transport/webhooks/batch-sender.ts',
    from: `      // It answers, so it is well.
      states.succeeded(name);`,
    to: '      states.failed(name, judgement.error);',
    breaks: 'an endpoint that refuses single messages is left alone with all of them',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
  {
    name: 'webhooks/batch/alone-and-held-up',
    file: 'src/transport/webhooks/batch-sender.ts',
    from: '      if (!this.#isAlone(name)) this',
    to: '      this',
    breaks: 'an endpoint that holds up nobody is left alone',
    tests: ['test/transport/webhooks/slow-endpoints.test.ts'],
  },
  {
    name: 'webhooks/batch/told-to-stop-with-a-slot',
    file: 'src/transport/webhooks/batch-sender.ts',
    from: `    try {
      // Also of one that was given a slot and told to stop at the same moment: the slot goes back.
      call.signal.throwIfAborted();`,
    to: `    call.signal.throwIfAborted();
    try {`,
    breaks: 'I17: a slot is lost at each stop, and in the end no webhook goes out any more',
    tests: ['test/transport/webhooks/endpoints.test.ts'],
  },
];

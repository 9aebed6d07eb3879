/**
 * Mistakes in what keeps a broker from being believed: signatures, and where they are asked for.
 */
import type { Mutant } from '../mutant.ts';

const SIGNING = 'src/message/signing.ts';
const UNVERIFIED = 'src/inbox/delivery/unverified.ts';
const SIGNATURES = 'src/inbox/delivery/signatures.ts';
const DECIDE = 'src/inbox/handlers/decide-refused.ts';
const INBOX = ['test/inbox/signatures.test.ts'];
const PURE = ['test/message/signing.test.ts'];

export const SECRETS: readonly Mutant[] = [
  {
    name: 'secrets/signing/any-signature',
    file: SIGNING,
    from: `    if (!timingSafeEqual(Buffer.from(expected), Buffer.from(signature))) return 'signature';`,
    to: `    if (expected.length !== signature.length) return 'signature';`,
    breaks: 'a forged message is believed',
    tests: PURE,
  },
  {
    name: 'secrets/signing/any-destination',
    file: SIGNING,
    from: `    if (!body.startsWith(addressed)) return 'destination';`,
    to: '',
    breaks: 'a message that was moved from another queue is believed',
    tests: PURE,
  },
  {
    name: 'secrets/signing/any-age',
    file: SIGNING,
    from: `    return nowMs - Number(timestamp) * 1_000 > mostAgeMs ? 'age' : null;`,
    to: `    return null;`,
    breaks: 'I4: a copy that comes after its mark was pruned is handled once more',
    tests: PURE,
  },
  {
    name: 'secrets/signing/unknown-key-is-any',
    file: SIGNING,
    from: `    const key = keys.get(keyId);`,
    to: `    const key = keys.get(keyId) ?? [...keys.values()][0];`,
    breaks: 'a key that was taken away under its id goes on to count',
    tests: PURE,
  },
  {
    name: 'secrets/signing/body-without-destination',
    file: SIGNING,
    from: `    const signature = signWebhook({ id, timestamp, body: \`{\${rest}\` }, [key]);`,
    to: `    const signature = signWebhook({ id, timestamp, body: wire }, [key]);`,
    breaks: 'what is signed is not bound to its destination, or is refused everywhere',
    tests: PURE,
  },
  {
    name: 'secrets/inbox/unsigned-is-accepted',
    file: SIGNATURES,
    from: `  return fault === null || (fault === 'unsigned' && !required);`,
    to: `  return fault === null || fault === 'unsigned';`,
    breaks: 'a forged message needs no signature',
    tests: INBOX,
  },
  {
    name: 'secrets/inbox/wrong-is-accepted-while-not-required',
    file: SIGNATURES,
    from: `  return fault === null || (fault === 'unsigned' && !required);`,
    to: `  return fault === null || !required;`,
    breaks: 'an altered message is handled while some are not signed yet',
    tests: INBOX,
  },
  {
    name: 'secrets/inbox/forged-under-its-claimed-id',
    file: 'src/inbox/delivery/incoming.ts',
    from: `  return { id: uuidOf(wireText(wire)), topic: salvage(wire).topic, key: null, envelope: null, error, wire };`,
    to: `  return { ...salvage(wire), envelope: null, error, wire };`,
    breaks: 'I1: the true message is taken for a duplicate of a forged one, and lost',
    tests: INBOX,
  },
  {
    name: 'secrets/inbox/not-verified-again',
    file: 'src/inbox/delivery/redrive.ts',
    from: `    if (row.reason === PARK_REASONS.unverified && context.signatures !== null)
      return this.#verify(row, context.signatures);`,
    to: '',
    breaks: 'a retry of all that is parked has forged messages handled',
    tests: INBOX,
  },
  {
    name: 'secrets/inbox/verified-under-the-id-of-its-bytes',
    file: UNVERIFIED,
    from: `  const incoming = readIncoming(wire);
  const reason`,
    to: `  const incoming = { ...readIncoming(wire), id: row.messageId };
  const reason`,
    breaks: 'I4: a message whose key came later has a second effect when it comes again',
    tests: INBOX,
  },
  {
    name: 'secrets/inbox/parked-as-json',
    file: 'src/inbox/delivery/parking.ts',
    from: `  if (parking.reason === PARK_REASONS.unverified) return store(packWire(wire));`,
    to: '',
    breaks: 'I1: the signature of a parked message cannot be checked any more, whatever keys come',
    tests: INBOX,
  },
  {
    name: 'secrets/refused/no-bound',
    file: DECIDE,
    from: `  if (parked.messages < limits.maxMessages && parked.bytes + bytes <= limits.maxBytes) return 'park';`,
    to: `  if (parked.bytes + bytes <= limits.maxBytes) return 'park';`,
    breaks: 'I18: who has the broker alone fills the database with forged messages',
    tests: ['test/inbox/decide.test.ts'],
  },
  {
    name: 'secrets/refused/no-bound-of-bytes',
    file: DECIDE,
    from: `  if (parked.messages < limits.maxMessages && parked.bytes + bytes <= limits.maxBytes) return 'park';`,
    to: `  if (parked.messages < limits.maxMessages) return 'park';`,
    breaks: 'I18: few forged messages fill the database, being large',
    tests: ['test/inbox/decide.test.ts'],
  },
  {
    name: 'secrets/refused/key-dropped',
    file: DECIDE,
    from: `['key', 'age']`,
    to: `['age']`,
    breaks: 'I1: a true message is dropped because it came before the key of its relay',
    tests: ['test/inbox/decide.test.ts'],
  },
  {
    name: 'secrets/refused/dropped-unasked',
    file: DECIDE,
    from: `  return limits.whenFull === 'drop' && !MAY_BE_TRUE.has(error.details?.['part']) ? 'drop' : 'leave';`,
    to: `  return MAY_BE_TRUE.has(error.details?.['part']) ? 'leave' : 'drop';`,
    breaks: 'I21: true messages of a relay that does not sign yet are acknowledged unread',
    tests: ['test/inbox/decide.test.ts'],
  },
  {
    name: 'secrets/refused/own-only',
    file: 'src/inbox/delivery/refused-messages.ts',
    from: `    if (this.#since * 10 > limits.maxMessages) await this.#look();`,
    to: '',
    breaks: 'I18: each process, and each start of one, parks as many as all of them may',
    tests: INBOX,
  },
  {
    name: 'secrets/refused/full-for-good',
    file: 'src/inbox/delivery/refused-messages.ts',
    from: `    return this.#since > 0 || this.#context.clock.monotonic() >= this.#lookAgainMs;`,
    to: `    return this.#since > 0;`,
    breaks: 'I17: what stays in the broker is not parked when a person has made room',
    tests: INBOX,
  },
  {
    name: 'secrets/told/unasked-in-silence',
    file: UNVERIFIED,
    from: `    counter.inc({ consumer, result: 'unasked' });`,
    to: '',
    breaks: 'I17: a relay signs, and nobody hears that a consumer does not look',
    tests: INBOX,
  },
  {
    name: 'secrets/told/unasked-replies-in-silence',
    file: 'src/saga/protocol/replies.ts',
    from: 'if (signatures === null) noteUnasked(wire);\n      else checked',
    to: 'if (signatures !== null) checked',
    breaks: 'I17: participants sign, and nobody hears that a worker does not look',
    tests: ['test/saga/replies.test.ts'],
  },
  {
    name: 'secrets/replies/handed-unverified',
    file: 'src/saga/protocol/reply-route.ts',
    from: `    if (isSigned !== null && !isSigned(wire)) return this.#alone(delivery);`,
    to: '',
    breaks: 'a forged reply completes a step with an invented answer',
    tests: ['test/saga/signed-flow.test.ts'],
  },
  {
    name: 'secrets/relay/not-signed',
    file: 'src/relay/subscription/routes.ts',
    from: `    wire: signing === null ? wire : signing.sign(wire, { id: entry.id, destination }, signing.nowMs),`,
    to: `    wire,`,
    breaks: 'I1: nothing that a relay sends is accepted where signatures are asked for',
    tests: ['test/relay/signing.test.ts'],
  },
  {
    name: 'secrets/relay/one-key-for-all',
    file: 'src/relay/subscription/sign-routes.ts',
    from: `    const sign = own.get(to.destination) ?? usual;`,
    to: `    const sign = usual ?? own.get(to.destination) ?? null;`,
    breaks: 'who has the key of one destination writes to all of them',
    tests: ['test/relay/signing.test.ts'],
  },
];

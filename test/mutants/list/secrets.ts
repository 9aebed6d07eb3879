/**
 * Mistakes in what keeps a broker from being believed: src/message/signing.ts, and where signatures are asked for.
 */
import type { Mutant } from '../mutant.ts';

const SIGNING = 'src/message/signing.ts';
const UNVERIFIED = 'src/inbox/delivery/unverified.ts';
const SIGNATURES = 'src/inbox/delivery/signatures.ts';
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
];

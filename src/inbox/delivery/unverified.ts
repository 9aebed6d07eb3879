/**
 * Signatures of deliveries are checked before anything else, and again when a person or a new key asks for it. A message whose signature is
 * not accepted is parked as it came, where nothing that it claims has an effect on the messages of others.
 */
import { HoldfastError } from '../../errors.ts';
import { carriesSignature, type SignatureFault } from '../../message/signing.ts';
import { nextVerificationMs, PARK_REASONS } from '../handlers/decide.ts';
import type { Logger } from '../../runtime/log.ts';
import type { ParkedRow } from '../stores/parked-delivery-store.ts';
import { policiesFor, type ConsumerContext } from './consumer-context.ts';
import type { ConsumerMetrics } from './consumer-metrics.ts';
import { readIncoming, refuseIncoming, unpackWire, type Incoming } from './incoming.ts';
import { park, type ParkResult } from './parking.ts';
import { isAccepted, type Signatures } from './signatures.ts';

/** How deliveries are read: if their signatures are accepted, or as they come. */
export function createReader<Tx>(context: ConsumerContext<Tx>): (wire: unknown) => Incoming {
  const { signatures, counts, name: consumer, log } = context;
  if (signatures !== null) return (wire) => readSigned(context, signatures, wire);
  const noteUnasked = createUnaskedNote({ consumer, counter: counts.signatures, log });
  return (wire) => {
    noteUnasked(wire);
    return readIncoming(wire);
  };
}

interface UnaskedNoteOptions {
  readonly consumer: string;
  readonly counter: ConsumerMetrics['signatures'];
  readonly log: Logger;
}

/** Counts what comes signed where nobody asks for that, and says so once. */
export function createUnaskedNote({ consumer, counter, log }: UnaskedNoteOptions): (wire: unknown) => void {
  let told = false;
  return (wire) => {
    if (!carriesSignature(wire)) return;
    counter.inc({ consumer, result: 'unasked' });
    if (!told)
      log.warn({}, 'messages come signed, and no signatures are asked for: who can write to the broker is believed');
    told = true;
  };
}

/** A delivery, read if its signature is accepted. */
function readSigned<Tx>(context: ConsumerContext<Tx>, signatures: Signatures, wire: unknown): Incoming {
  const fault = signatures.check(wire, context.clock.now());
  context.counts.signatures.inc({ consumer: context.name, result: fault ?? 'right' });
  if (fault === null || isAccepted(fault, signatures)) return readIncoming(wire);
  return refuseIncoming(wire, unverified(context.name, fault));
}

/** A parked message whose signature is looked at again. */
export type Reverified =
  | { readonly kind: 'refused'; readonly error: HoldfastError; readonly retryInMs: number | null }
  /** It stands parked under its own id now, to be handled as any other; or is known by that id. */
  | ParkResult;

/** `row` was parked because its signature was not accepted. Its age is no reason any more: that it is no copy is for a person to say. */
export async function verifyAgain<Tx>(
  context: ConsumerContext<Tx>,
  signatures: Signatures,
  row: ParkedRow,
): Promise<Reverified> {
  const wire = unpackWire(row.envelope);
  const fault = signatures.check(wire, context.clock.now());
  if (fault !== null && fault !== 'age' && !isAccepted(fault, signatures)) {
    const error = unverified(context.name, fault);
    return {
      kind: 'refused',
      error,
      retryInMs: nextVerificationMs(error, row.redrives + 1, policiesFor(context, undefined)),
    };
  }
  const incoming = readIncoming(wire);
  const reason = incoming.envelope === null ? PARK_REASONS.undecodable : PARK_REASONS.verified;
  const retryInMs = incoming.envelope === null ? null : 0;
  const insteadOf = row.messageId;
  return park(context, { incoming, reason, error: incoming.error, attempts: 0, retryInMs, marked: true, insteadOf });
}

const WHAT: Readonly<Record<SignatureFault, string>> = {
  unsigned: 'is not signed',
  key: 'is signed with a key that is not known here',
  destination: 'was signed for another destination',
  signature: 'has a signature that is wrong: somebody has written or altered it who has not the key',
  age: 'was signed so long ago that it would not be recognised if it came for the second time',
};

const ADVICE: Readonly<Record<SignatureFault, string>> = {
  unsigned:
    "Give the relay that sends here signing, and have this message sent again by it (holdfast outbox replay); if it is nobody's, discard it.",
  key: 'Give this consumer the key before a relay signs with it; the message is then taken up by itself.',
  destination: 'Find out who copies messages from one queue to another, and discard it.',
  signature: 'Find out who writes to the broker, and discard the message. The true one comes by itself.',
  age: 'If it has lain in the broker for so long, retry it; if it was handled then, discard it.',
};

function unverified(consumer: string, part: SignatureFault): HoldfastError {
  return new HoldfastError('HF_MESSAGE_UNVERIFIED', `A message for ${consumer} ${WHAT[part]}.`, {
    advice: ADVICE[part],
    details: { part },
  });
}

/**
 * What a consumer was told of signatures.
 */
import { createChecker, type CheckWire, type SignatureFault, type SignaturesOptions } from '../../message/signing.ts';
import { badOption, refuseUnknownOptions } from '../../runtime/options.ts';
import type { RefusedLimits } from '../handlers/decide-refused.ts';

/** Checked, and ready to check by. */
export interface Signatures {
  readonly check: CheckWire;
  /** Whether a message without a signature is refused. */
  readonly required: boolean;
  /** How many refused messages are parked. */
  readonly limits: RefusedLimits;
}

const DEFAULT_MAX_PARKED = 10_000;
const DEFAULT_MAX_PARKED_BYTES = 67_108_864;

/** @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN */
export function resolveSignatures(
  options: SignaturesOptions | undefined,
  { destination, retentionMs }: { readonly destination: string; readonly retentionMs: number },
  consumer: string,
): Signatures | null {
  if (options === undefined) return null;
  const where = `${consumer}.signatures`;
  refuseUnknownOptions(options, ['keys', 'required', 'maxParked', 'maxParkedBytes', 'whenFull'], where);
  // Marks are pruned by the clock of the database, and signatures made by that of the relay.
  const mostAgeMs = retentionMs - Math.min(3_600_000, retentionMs / 10);
  return {
    check: createChecker(options, { destination, mostAgeMs }, where),
    required: options.required ?? true,
    limits: limitsOf(options, where),
  };
}

/** Throws HF_CONFIG. */
function limitsOf(
  { maxParked = DEFAULT_MAX_PARKED, maxParkedBytes = DEFAULT_MAX_PARKED_BYTES, whenFull = 'leave' }: SignaturesOptions,
  where: string,
): RefusedLimits {
  for (const [name, value] of Object.entries({ maxParked, maxParkedBytes })) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw badOption(where, `has ${name} ${value}`, 'Give a whole number from 1 on.');
  }
  if (whenFull !== 'leave' && whenFull !== 'drop')
    throw badOption(where, `has whenFull ${JSON.stringify(whenFull)}`, "Give 'leave' or 'drop'.");
  return { maxMessages: maxParked, maxBytes: maxParkedBytes, whenFull };
}

/** Whether a delivery is to be read. Pure. */
export function isAccepted(fault: SignatureFault | null, { required }: Pick<Signatures, 'required'>): boolean {
  return fault === null || (fault === 'unsigned' && !required);
}

/**
 * What a consumer was told of signatures.
 */
import { createChecker, type CheckWire, type SignatureFault, type SignaturesOptions } from '../../message/signing.ts';
import { refuseUnknownOptions } from '../../runtime/options.ts';

/** Checked, and ready to check by. */
export interface Signatures {
  readonly check: CheckWire;
  /** Whether a message without a signature is refused. */
  readonly required: boolean;
}

/** @throws HoldfastError HF_CONFIG, HF_OPTION_UNKNOWN */
export function resolveSignatures(
  options: SignaturesOptions | undefined,
  { destination, retentionMs }: { readonly destination: string; readonly retentionMs: number },
  consumer: string,
): Signatures | null {
  if (options === undefined) return null;
  const where = `${consumer}.signatures`;
  refuseUnknownOptions(options, ['keys', 'required'], where);
  // Marks are pruned by the clock of the database, and signatures made by that of the relay.
  const mostAgeMs = retentionMs - Math.min(3_600_000, retentionMs / 10);
  return { check: createChecker(options, { destination, mostAgeMs }, where), required: options.required ?? true };
}

/** Whether a delivery is to be read. Pure. */
export function isAccepted(fault: SignatureFault | null, { required }: Pick<Signatures, 'required'>): boolean {
  return fault === null || (fault === 'unsigned' && !required);
}

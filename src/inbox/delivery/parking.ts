/**
 * Parks a message: the mark and the parked row are one commit, so the message is either still with the broker or visibly ours.
 */
import type { SqlExecutor } from '../../postgres/executor.ts';
import { PATIENT_LOCK_SQL } from '../../postgres/lock-wait.ts';
import { keyLock } from '../stores/inbox-store.ts';
import { PARK_REASONS, type ParkReason } from '../handlers/decide.ts';
import { packWire, sentAt, wireText, type Incoming } from './incoming.ts';
import type { ConsumerContext } from './consumer-context.ts';
import { keptErrorText } from './kept-error.ts';
import { isUnrelatedToDatabase, isRefusedValue } from '../handlers/classify-error.ts';
import { SimulatedCrash } from '../handlers/unit-of-work.ts';

export interface Parking {
  readonly incoming: Incoming;
  readonly reason: ParkReason;
  readonly error: unknown;
  /** Handler runs so far. */
  readonly attempts: number;
  readonly retryInMs: number | null;
  /** False for handlers that keep no marks: then a duplicate of it is run, not recognised. */
  readonly marked: boolean;
  /** The id of a parked row whose place it takes in the same commit. */
  readonly insteadOf?: string;
}

export type ParkResult =
  | { readonly kind: 'parked' }
  /** A mark was there: handled after all (a COMMIT in doubt), or parked before. */
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'unavailable'; readonly error: unknown };

/** Rejects only for a simulated crash. */
export async function park<Tx>(context: ConsumerContext<Tx>, parking: Parking): Promise<ParkResult> {
  context.crash('inbox.park:before');
  try {
    const result = await attemptParking(context, parking);
    context.crash('inbox.park:after');
    return result;
  } catch (error) {
    if (error instanceof SimulatedCrash) throw error;
    return { kind: 'unavailable', error };
  }
}

async function attemptParking<Tx>(context: ConsumerContext<Tx>, parking: Parking): Promise<ParkResult> {
  const { wire } = parking.incoming;
  const store = (envelope: string) =>
    context.work.transaction(async (execute) => {
      if (parking.insteadOf !== undefined) await context.parked.remove(execute, parking.insteadOf);
      return write(context, execute, parking, envelope);
    });
  // As text: jsonb keeps no blanks and no order of names, and a signature is one of each character.
  if (parking.reason === PARK_REASONS.unverified) return store(packWire(wire));
  try {
    return await store(wireText(wire));
  } catch (error) {
    if (error instanceof SimulatedCrash) throw error;
    // The envelope holds what jsonb cannot hold, or too much of it (NUL, a number too large, no JSON), or something in this process
    // overflowed. The bytes as they came can always be stored.
    if (!isRefusedValue(error) && !isUnrelatedToDatabase(error)) throw error;
    return store(packWire(wire));
  }
}

async function write<Tx>(
  context: ConsumerContext<Tx>,
  execute: SqlExecutor,
  parking: Parking,
  envelope: string,
): Promise<ParkResult> {
  const { incoming, reason, error, attempts, retryInMs, marked } = parking;
  if (context.ordered && incoming.key !== null) {
    // With this lock, nobody decides about a message of the key from what they read before.
    await execute(PATIENT_LOCK_SQL, [keyLock(context.name, incoming.key)]);
  }
  // Waits for a transaction that is writing the same mark: a COMMIT whose connection broke may still be running.
  if (marked && !(await context.inbox.tryMark(execute, incoming.id))) return { kind: 'duplicate' };
  await context.parked.insert(execute, {
    messageId: incoming.id,
    topic: incoming.topic,
    key: incoming.key,
    envelope,
    state: 'failed',
    reason,
    error: keptErrorText(context, incoming.id, error),
    attempts,
    retryInMs,
    line: context.ordered ? { sentAt: sentAt(incoming.wire) } : undefined,
  });
  await context.suspects.clear(execute, incoming.id);
  return { kind: 'parked' };
}

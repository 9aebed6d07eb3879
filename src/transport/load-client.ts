/**
 * Loads the client of a broker with the first publisher or receiver: a process that uses neither has not installed it.
 */
import { HoldfastError } from '../errors.ts';
import { missingPackage } from '../runtime/missing-package.ts';

export interface BrokerClient {
  /** What the error says. `why`: the message of what failed. */
  readonly failure: (why: string) => string;
  /** What is not installed with holdfast. */
  readonly packages: readonly string[];
  readonly adviceWhenMissing: string;
  /** When they are there and something else is wrong. */
  readonly adviceElse?: string;
}

/**
 * Settles as `load` does, but says what failed. A later call tries again.
 *
 * @throws HoldfastError HF_TRANSPORT_UNAVAILABLE
 */
export async function loadClient<T>(client: BrokerClient, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const isMissing = missingPackage(cause, client.packages) !== undefined;
    const what = client.failure(cause instanceof Error ? cause.message : String(cause));
    throw new HoldfastError('HF_TRANSPORT_UNAVAILABLE', what, {
      advice: isMissing ? client.adviceWhenMissing : client.adviceElse,
      cause,
    });
  }
}

/**
 * What outcomes of a batch begin as. A message counts as published when its broker has said so, and by no other way: one that a branch
 * forgets would be lost.
 */
import { HoldfastError } from '../errors.ts';
import type { PublishOutcome } from './port.ts';

const UNSENT: PublishOutcome = {
  kind: 'refused',
  permanent: false,
  error: new HoldfastError('HF_MESSAGE_REFUSED', 'The message was not sent.'),
};

export const PUBLISHED: PublishOutcome = { kind: 'published' };

export function unsentOutcomes(batch: readonly unknown[]): PublishOutcome[] {
  return new Array<PublishOutcome>(batch.length).fill(UNSENT);
}

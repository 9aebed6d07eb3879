/** How far the compensation of one call is. Folded from the journal as part of its state (state.ts). */
import { newSpent, type Spent } from './budget.ts';

export interface CompensationState {
  state: 'open' | 'done';
  round: number;
  attempts: number;
  startedAt: number;
  retryAt: number | null;
  spent: Spent;
  /** Until when a reply is waited for. Not recorded: it follows from the rest. */
  replyBy: number | null;
  /** A late reply said that it happened: one more round. */
  again: boolean;
}

export function newCompensation(round: number, at: number): CompensationState {
  const spent = newSpent(at);
  return { state: 'open', round, attempts: 0, startedAt: at, retryAt: null, spent, replyBy: null, again: false };
}

/** The kinds of refusals that a transport can give, from the gravest to the one that says nothing against a message. */
import type { Refusal } from '../../src/relay/delivery/refusals.ts';
import type { Postponement } from '../../src/transport/port.ts';

export const refusal = (later: Postponement | undefined, permanent = false): Refusal => ({
  kind: 'refused',
  permanent,
  error: new Error('not now'),
  later,
});
export const AWAY = refusal({ delayMs: 60_000, attempted: true });
export const RESTING = refusal({ delayMs: 60_000, attempted: false });
export const UNSENT = refusal({ delayMs: 0, attempted: false });
export const GONE = refusal(undefined, true);
export const PLAIN = refusal(undefined);

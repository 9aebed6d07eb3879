/**
 * All planted mistakes. A new line that safety rests on comes with one.
 */
import type { Mutant } from '../mutant.ts';
import { INBOX_DECIDE } from './inbox-decide.ts';
import { INBOX_STORES } from './inbox-stores.ts';
import { RELAY } from './relay.ts';

export const MUTANTS: readonly Mutant[] = [...INBOX_DECIDE, ...INBOX_STORES, ...RELAY];

/**
 * All planted mistakes. A new line that safety rests on comes with one.
 */
import type { Mutant } from '../mutant.ts';
import { RELAY } from './relay.ts';

export const MUTANTS: readonly Mutant[] = [...RELAY];

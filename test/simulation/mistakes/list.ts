/**
 * Mistakes that the simulation is measured by: those of `test/mutants` that stand in code which it runs, and others in what stands in for
 * PostgreSQL there, as the SQL could have them.
 */
import { MUTANTS } from '../../mutants/list/all.ts';
import type { Plant } from '../../mutants/mutant.ts';
import { IN_MEMORY } from './in-memory.ts';
import { IN_SAGAS } from './in-sagas.ts';

/** Rooms that run in a simulation as they are. */
const SIMULATED = ['src/saga/', 'src/inbox/handlers/decide.ts'];
/** Of these rooms, what does not. */
const NOT_SIMULATED = ['src/saga/store/postgres/'];

export const MISTAKES: readonly Plant[] = [
  ...IN_MEMORY,
  ...IN_SAGAS,
  ...MUTANTS.filter(({ file }) => isIn(SIMULATED, file) && !isIn(NOT_SIMULATED, file)),
];

function isIn(rooms: readonly string[], file: string): boolean {
  return rooms.some((room) => file.startsWith(room));
}

/**
 * All checks of the doctor by their names: at which levels they tell of something, what that is, why it hurts, and what mends it.
 * docs/doctor.md shows this table.
 */
import { CHECKS_OF_SERVERS } from './checks-of-servers.ts';
import { CHECKS_OF_TABLES } from './checks-of-tables.ts';

export const CHECKS = { ...CHECKS_OF_SERVERS, ...CHECKS_OF_TABLES } as const;

export type CheckName = keyof typeof CHECKS;

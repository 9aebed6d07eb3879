/**
 * Where absurd's tables and functions are read from.
 */
import { fileURLToPath } from 'node:url';

export const ABSURD_SQL = process.env.ABSURD_SQL ?? fileURLToPath(new URL('absurd.sql', import.meta.url));

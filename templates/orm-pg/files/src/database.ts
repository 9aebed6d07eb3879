/** The database of this service. */
import { openDatabase } from 'holdfast';

export const database = openDatabase({ url: process.env['DATABASE_URL'] });

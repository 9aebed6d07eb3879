/**
 * A client that got no answer asks again with the same Idempotency-Key, and has ordered once. Requests without a key are handled as well;
 * with `required: true` they are refused.
 */
import { createHttpIdempotency } from 'holdfast/http';
import { unitOfWork } from './database.js';

export const idempotency = createHttpIdempotency({ ...unitOfWork, required: false });

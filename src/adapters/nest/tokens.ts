/**
 * What one injects, by tokens: Outbox and Sagas are interfaces, which are gone at run time, and so is the metadata of constructors where
 * esbuild, swc or tsx compile.
 */
import { Inject } from '@nestjs/common';

/**
 * Of the outbox. See {@link InjectOutbox}.
 *
 * @example
 * const provider = { provide: 'mine', inject: [HOLDFAST_OUTBOX], useFactory: (given: unknown) => given };
 */
export const HOLDFAST_OUTBOX = Symbol.for('holdfast:outbox');
/**
 * Of what starts sagas and speaks to their runs. See {@link InjectSagas}.
 *
 * @example
 * const provider = { provide: 'mine', inject: [HOLDFAST_SAGAS], useFactory: (given: unknown) => given };
 */
export const HOLDFAST_SAGAS = Symbol.for('holdfast:sagas');
/**
 * Of the Database. See {@link InjectDatabase}.
 *
 * @example
 * const provider = { provide: 'mine', inject: [HOLDFAST_DATABASE], useFactory: (given: unknown) => given };
 */
export const HOLDFAST_DATABASE = Symbol.for('holdfast:database');
/**
 * Of what answers requests with idempotency keys.
 *
 * @example
 * const provider = { provide: 'mine', inject: [HOLDFAST_IDEMPOTENCY], useFactory: (given: unknown) => given };
 */
export const HOLDFAST_IDEMPOTENCY = Symbol.for('holdfast:idempotency');
/** Of the options of the module. */
export const HOLDFAST_OPTIONS = Symbol.for('holdfast:options');

/**
 * Injects the outbox.
 *
 * @example
 * class Orders {
 *   constructor(readonly outbox: Outbox) {}
 * }
 * // Of the first parameter, as `constructor(@InjectOutbox() readonly outbox: Outbox)` does it.
 * InjectOutbox()(Orders, undefined, 0);
 */
export function InjectOutbox(): ParameterDecorator & PropertyDecorator {
  return Inject(HOLDFAST_OUTBOX);
}

/**
 * Injects what starts sagas and speaks to their runs.
 *
 * @example
 * class Orders {
 *   constructor(readonly sagas: Sagas) {}
 * }
 * // Of the first parameter, as `constructor(@InjectSagas() readonly sagas: Sagas)` does it.
 * InjectSagas()(Orders, undefined, 0);
 */
export function InjectSagas(): ParameterDecorator & PropertyDecorator {
  return Inject(HOLDFAST_SAGAS);
}

/**
 * Injects the Database.
 *
 * @example
 * class Orders {
 *   constructor(readonly database: Database) {}
 * }
 * // Of the first parameter, as `constructor(@InjectDatabase() readonly database: Database)` does it.
 * InjectDatabase()(Orders, undefined, 0);
 */
export function InjectDatabase(): ParameterDecorator & PropertyDecorator {
  return Inject(HOLDFAST_DATABASE);
}

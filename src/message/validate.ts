/**
 * Runs a Standard Schema and turns its issues into one error that names places but never values. Sender and reader both validate.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { HoldfastError } from '../errors.ts';
import { showPath } from './payload.ts';

/** How many issues an error lists. */
const MOST_ISSUES = 5;

/**
 * The output of the schema, wrapped when it came at once, so that a caller can tell it from a promise.
 * @throws HoldfastError HF_PAYLOAD_INVALID (as a rejection when the schema is asynchronous)
 */
export function validate<Output>(
  schema: StandardSchemaV1<unknown, Output>,
  payload: unknown,
  where: string,
): { readonly value: Output } | Promise<Output> {
  const result = schema['~standard'].validate(payload);
  if (isPromise(result))
    return Promise.resolve(result).then((settled) => accept(settled, schema, payload, where).value);
  return accept(result, schema, payload, where);
}

function accept<Output>(
  result: StandardSchemaV1.Result<Output>,
  schema: StandardSchemaV1,
  payload: unknown,
  where: string,
): StandardSchemaV1.SuccessResult<Output> {
  if (result.issues === undefined) return result;
  const quotesValues = schema['~standard'].vendor !== 'zod';
  const issues = result.issues.slice(0, MOST_ISSUES).map((issue) => {
    const path = (issue.path ?? []).map((step) => (typeof step === 'object' ? step.key : step));
    return {
      path: showPath(path),
      message: (quotesValues ? withoutValue(issue.message, payload, path) : issue.message).slice(0, 300),
    };
  });
  const more = result.issues.length - issues.length;
  const listed = issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ');
  throw new HoldfastError(
    'HF_PAYLOAD_INVALID',
    `${where}: the payload does not match the schema: ${listed}${more > 0 ? `; and ${more} more` : ''}.`,
    {
      details: { where, issues, issueCount: result.issues.length },
    },
  );
}

/** Some libraries (Valibot, ArkType) quote the offending value in their messages; logs must not hold payloads. */
function withoutValue(message: string, payload: unknown, path: readonly PropertyKey[]): string {
  let value = payload;
  for (const step of path) value = (value as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[step];
  if (typeof value === 'string') {
    const quoted = message.replaceAll(JSON.stringify(value), '<text>').replaceAll(`'${value}'`, '<text>');
    // Unquoted only when long enough not to be part of the message's own words.
    return value.length < 4 ? quoted : quoted.replaceAll(value, '<text>');
  }
  if (typeof value === 'number' || typeof value === 'bigint') {
    const digits = String(value).replaceAll(/[.+]/g, '\\$&');
    return message.replaceAll(new RegExp(`(?<![\\w.])${digits}(?![\\w.])`, 'g'), '<number>');
  }
  return message;
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null)?.then === 'function';
}

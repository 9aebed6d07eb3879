/**
 * Ids as people have them in hand: whole, or only how they begin, with or without dashes. Pure.
 */
import { HoldfastError } from '../../errors.ts';

const LEAST_DIGITS = 4;
const DIGITS = 32;

/** The digits of what may be an id or the beginning of one; null: it cannot be. */
export function idDigits(text: string): string | null {
  // As terminals cut it and logs quote it.
  const bare = text.trim().replaceAll(/^["'`(<[]+|["'`)>\],.;:…]+$/g, '');
  const digits = bare.replaceAll('-', '').toLowerCase();
  const isId = /^[0-9a-f]+$/.test(digits) && digits.length >= LEAST_DIGITS && digits.length <= DIGITS;
  return isId && !/--|^-/.test(bare) ? digits : null;
}

/** 32 digits as a UUID is written. */
export function uuidOf(digits: string): string {
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join(
    '-',
  );
}

/** The first and the last id that begin so. Throws HF_CONFIG. */
export function uuidRange(prefix: string): readonly [first: string, last: string] {
  const digits = idDigits(prefix);
  if (digits === null) {
    throw new HoldfastError('HF_CONFIG', `${JSON.stringify(prefix)} is not how an id begins.`, {
      advice: `Give at least ${LEAST_DIGITS} of its hexadecimal digits, such as 0199f3a0.`,
    });
  }
  return [uuidOf(digits.padEnd(DIGITS, '0')), uuidOf(digits.padEnd(DIGITS, 'f'))];
}

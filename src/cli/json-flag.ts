/**
 * A flag that is JSON: as it is, from a file, or from standard input.
 */
import { readFileSync } from 'node:fs';
import { HoldfastError } from '../errors.ts';
import { altersNumbers } from '../message/exact-json.ts';
import { textFlag, type Context } from './verb.ts';

/** JSON, @file with JSON, or - for standard input. Undefined when it is not given. Throws HF_CONFIG. */
export function jsonFlag(context: Context, name: string, flag: string): unknown {
  const given = textFlag(context, name);
  if (given === undefined) return undefined;
  let source = given;
  try {
    if (given === '-') source = readFileSync(0, 'utf8');
    else if (given.startsWith('@')) source = readFileSync(given.slice(1), 'utf8');
  } catch (error) {
    throw new HoldfastError(
      'HF_CONFIG',
      `${flag} ${given} cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
      {
        advice: 'Give JSON, @file, or - for standard input.',
        cause: error,
      },
    );
  }
  try {
    const value = JSON.parse(source) as unknown;
    if (!altersNumbers(source)) return value;
  } catch (error) {
    throw new HoldfastError(
      'HF_CONFIG',
      `${flag} is no JSON: ${error instanceof Error ? error.message : String(error)}.`,
      {
        advice: `Write it in single quotes: ${flag} '{"orderId": "o-1"}', or give @file, or - for standard input.`,
        cause: error,
      },
    );
  }
  throw new HoldfastError('HF_CONFIG', `${flag} holds a number that JavaScript would alter.`, {
    advice: 'What is given is stored as JavaScript reads it: give such a number as a text, in quotes.',
  });
}

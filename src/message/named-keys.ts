/**
 * Keys by their ids: one is written with, all are read with, so that one can be replaced by the next while both are in use.
 */
import { badOption, didYouMean } from '../runtime/options.ts';

export const KEY_ID = /^[\w.-]{1,100}$/;

/**
 * @param example of the option
 * @param read makes a key of what was given for an id; what it throws shows no secret
 * @throws HoldfastError HF_CONFIG
 */
export function readKeys<Key>(
  given: Readonly<Record<string, string>>,
  { where, example }: { readonly where: string; readonly example: string },
  read: (id: string, secret: string) => Key,
): ReadonlyMap<string, Key> {
  if (typeof given !== 'object' || given === null || Object.keys(given).length === 0)
    throw badOption(where, 'has no keys', `Write ${example}.`);
  return new Map(Object.entries(given).map(([id, secret]) => [id, read(id, secret)] as const));
}

/**
 * The key to write with.
 *
 * @param use default the only key
 * @param act what is done with it, such as `sign`
 * @throws HoldfastError HF_CONFIG
 */
export function keyInUse<Key>(
  keys: ReadonlyMap<string, Key>,
  use: string | undefined,
  { where, act }: { readonly where: string; readonly act: string },
): { readonly id: string; readonly key: Key } {
  const [only = '', second] = keys.keys();
  if (use === undefined && second !== undefined)
    throw badOption(
      where,
      `has several keys and does not say which to ${act} with`,
      `Write use: '${only}', or another.`,
    );
  const id = use ?? only;
  const key = keys.get(id);
  if (key !== undefined) return { id, key };
  const near = didYouMean(id, [...keys.keys()]);
  throw badOption(
    `${where}.use`,
    `is '${id}', which is none of the keys`,
    near === undefined ? `There are: ${[...keys.keys()].join(', ')}.` : `Did you mean '${near}'?`,
  );
}

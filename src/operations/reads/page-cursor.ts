/**
 * Cursors of lists: a place in the order of a list and a direction, as a text that can stand in a URL. It names the keys of a row and not
 * how many came before it, so a page stays where it is while rows come and go. Pure.
 */
import { HoldfastError } from '../../errors.ts';
import { isUuid } from '../../message/id.ts';

/**
 * What a list is sorted by. seq: places in the log. id: ids. finished: the ends of runs, in microseconds since the epoch, then their ids.
 * parked: who has parked, a relay or a consumer, its name, and the place in the line or the id.
 */
export type PageOrder = 'seq' | 'id' | 'finished' | 'parked';

export interface PageCursor {
  readonly order: PageOrder;
  /** Which rows it leads to. */
  readonly to: 'older' | 'newer';
  /** Whether the row at the place itself is one of them. */
  readonly inclusive: boolean;
  /** One value for each column of the order. */
  readonly key: readonly string[];
}

const FORMAT = 1;
const ORDERS: readonly PageOrder[] = ['seq', 'id', 'finished', 'parked'];
const isCount = (text: string): boolean => /^\d{1,18}$/.test(text);
const KEY_CHECKS: Readonly<Record<PageOrder, readonly ((text: string) => boolean)[]>> = {
  seq: [isCount],
  id: [isUuid],
  finished: [isCount, isUuid],
  parked: [(kind) => kind === 'relay' || kind === 'consumer', (name) => name !== '', (at) => isCount(at) || isUuid(at)],
};

export function writePageCursor({ order, to, inclusive, key }: PageCursor): string {
  return Buffer.from(JSON.stringify([FORMAT, order, to === 'older' ? 0 : 1, inclusive ? 1 : 0, ...key])).toString(
    'base64url',
  );
}

/** Throws HF_CONFIG for what is none, or is one of a list in another order. */
export function readPageCursor(text: string, orders: readonly PageOrder[]): PageCursor {
  const cursor = parsed(text);
  if (cursor === null) {
    throw new HoldfastError('HF_CONFIG', `${JSON.stringify(text).slice(0, 100)} is no cursor of a list.`, {
      advice: 'Take it as a page of the list gave it: `older` or `newer`.',
    });
  }
  if (orders.includes(cursor.order)) return cursor;
  throw new HoldfastError('HF_CONFIG', `The cursor is of a list by ${cursor.order}, and this one is by ${orders[0]}.`, {
    advice: 'Use it with the filter of the page that it came from.',
  });
}

function parsed(text: string): PageCursor | null {
  if (typeof text !== 'string' || text.length > 500 || !/^[\w-]+$/.test(text)) return null;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return null;
  }
  if (!Array.isArray(value)) return null;
  const [format, order, to, inclusive, ...key] = value as readonly unknown[];
  const known = ORDERS.find((each) => each === order);
  if (format !== FORMAT || known === undefined || (to !== 0 && to !== 1) || (inclusive !== 0 && inclusive !== 1))
    return null;
  const checks = KEY_CHECKS[known];
  const texts = key.filter((each) => typeof each === 'string');
  if (texts.length !== checks.length || key.length !== checks.length) return null;
  if (!checks.every((fits, index) => fits(texts[index] ?? ''))) return null;
  return { order: known, to: to === 0 ? 'older' : 'newer', inclusive: inclusive === 1, key: texts };
}

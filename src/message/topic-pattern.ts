/**
 * Topics and the patterns that choose among them. A topic is dot-separated segments: `order.placed`.
 * In a pattern `*` stands for exactly one segment, `**` for any number of them, none included:
 * `order.*` matches `order.placed`; `order.**` matches `order`, `order.placed` and `order.item.added`; `**` matches all.
 */
import { HoldfastError } from '../errors.ts';

export const MAX_TOPIC_LENGTH = 200;

const TOPIC = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/;
const PATTERN = /^(?:[A-Za-z0-9_-]+|\*\*?)(?:\.(?:[A-Za-z0-9_-]+|\*\*?))*$/;

/** @throws HoldfastError HF_MESSAGE_TYPE */
export function assertTopic(topic: string, where = 'The topic'): void {
  if (typeof topic === 'string' && topic.length <= MAX_TOPIC_LENGTH && TOPIC.test(topic)) return;
  const wildcard = typeof topic === 'string' && topic.includes('*');
  throw new HoldfastError('HF_MESSAGE_TYPE', `${where} ${shown(topic)} is not a topic.`, {
    advice: wildcard
      ? 'Wildcards belong in routes and subscriptions; a message is sent to one topic.'
      : `A topic is segments of A-Z a-z 0-9 _ - joined by dots, such as order.placed, at most ${MAX_TOPIC_LENGTH} characters.`,
  });
}

/** @throws HoldfastError HF_CONFIG */
export function assertTopicPattern(pattern: string, where = 'The topic pattern'): void {
  if (typeof pattern === 'string' && pattern.length <= MAX_TOPIC_LENGTH && PATTERN.test(pattern)) return;
  throw new HoldfastError('HF_CONFIG', `${where} ${shown(pattern)} is not a topic pattern.`, {
    advice:
      'Join segments by dots; a whole segment may be * (exactly one) or ** (any number): order.placed, order.*, order.**, **.',
  });
}

/**
 * Pure; `pattern` is taken to be valid. At most as many steps as pattern and topic have segments, multiplied: of several `**` only the
 * last one met is ever widened, for what an earlier one could take as well, it can.
 */
export function topicMatches(pattern: string, topic: string): boolean {
  const wanted = pattern.split('.');
  const segments = topic.split('.');
  if (segments.includes('')) return false;
  let index = 0;
  let at = 0;
  let wide: { readonly index: number; from: number } | null = null;
  while (at < segments.length) {
    const part = wanted[index];
    if (part === '**') {
      wide = { index, from: at };
      index += 1;
    } else if (part === '*' || part === segments[at]) {
      index += 1;
      at += 1;
    } else if (wide !== null) {
      wide.from += 1;
      at = wide.from;
      index = wide.index + 1;
    } else {
      return false;
    }
  }
  while (wanted[index] === '**') index += 1;
  return index === wanted.length;
}

/**
 * The same as a regular expression for PostgreSQL (`topic ~ $1`), whose matcher takes time in proportion to the topic; JavaScript's,
 * which would read it alike, tries every way of dividing the topic and may not come back. Anchored, without escapes that depend on settings.
 */
export function topicPatternToRegex(pattern: string): string {
  const segments = pattern.split('.').filter((segment, index, all) => segment !== '**' || all[index - 1] !== '**');
  if (segments.length === 1 && segments[0] === '**') return '^[^.]+([.][^.]+)*$';
  let regex = '';
  for (const [index, segment] of segments.entries()) {
    if (segment === '**') {
      regex += index === 0 ? '([^.]+[.])*' : '([.][^.]+)*';
      continue;
    }
    // A leading ** has brought its own dot.
    const dot = index === 0 || (index === 1 && segments[0] === '**') ? '' : '[.]';
    regex += dot + (segment === '*' ? '[^.]+' : segment);
  }
  return `^${regex}$`;
}

function shown(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value.length > 220 ? `${value.slice(0, 220)}…` : value)
    : `of type ${typeof value}`;
}

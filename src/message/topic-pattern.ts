/**
 * Topics and the patterns that choose among them. A topic is dot-separated segments: `order.placed`.
 * In a pattern `*` stands for exactly one segment, `**` for any number of them, none included:
 * `order.*` matches `order.placed`; `order.**` matches `order`, `order.placed` and `order.item.added`; `**` matches all.
 * Used by message types, by the routes of the relay, and, as a regular expression, by its SQL.
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

/** Pure; `pattern` is taken to be valid. */
export function topicMatches(pattern: string, topic: string): boolean {
  return segmentsMatch(pattern.split('.'), topic.split('.'), 0, 0);
}

function segmentsMatch(
  pattern: readonly string[],
  topic: readonly string[],
  patternAt: number,
  topicAt: number,
): boolean {
  for (let at = topicAt, index = patternAt; ; at += 1, index += 1) {
    const wanted = pattern[index];
    if (wanted === undefined) return at === topic.length;
    if (wanted === '**') {
      for (let rest = at; rest <= topic.length; rest += 1) {
        if (segmentsMatch(pattern, topic, index + 1, rest)) return true;
        if (topic[rest] === '') return false;
      }
      return false;
    }
    const segment = topic[at];
    if (segment === undefined || segment === '' || (wanted !== '*' && wanted !== segment)) return false;
  }
}

/**
 * The same as a regular expression that JavaScript and PostgreSQL (`topic ~ $1`) read alike; anchored, without groups
 * that capture or escapes that depend on settings.
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

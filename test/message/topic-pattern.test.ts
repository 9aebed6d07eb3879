import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assertTopic, assertTopicPattern, topicMatches, topicPatternToRegex } from '../../src/message/topic-pattern.ts';

describe('topicMatches', () => {
  test.each([
    ['order.placed', 'order.placed', true],
    ['order.placed', 'order.place', false],
    ['order.*', 'order.placed', true],
    ['order.*', 'order', false],
    ['order.*', 'order.item.added', false],
    ['order.*', 'orders.placed', false],
    ['*.placed', 'order.placed', true],
    ['order.**', 'order', true],
    ['order.**', 'order.item.added', true],
    ['order.**', 'orders', false],
    ['**', 'order', true],
    ['**', 'order.item.added', true],
    ['**.added', 'added', true],
    ['**.added', 'order.item.added', true],
    ['**.added', 'order.readded', false],
    ['order.**.added', 'order.added', true],
    ['order.**.added', 'order.a.b.added', true],
    ['order.**.added', 'order.added.x', false],
    ['**.**', 'a', true],
    ['*', 'a.b', false],
    ['a-b', 'a-b', true],
    ['a.b', 'axb', false],
    ['**', 'a..b', false],
  ])('%s and %s: %s', (pattern, topic, expected) => {
    expect(topicMatches(pattern, topic)).toBe(expected);
    expect(new RegExp(topicPatternToRegex(pattern)).test(topic)).toBe(expected);
  });

  test.each([
    ['**.a', 40],
    ['**.*', 40],
    ['*.**', 40],
    ['a.**.a', 25],
  ])('comes back soon from a pattern that can be divided in very many ways: %s, %d times', (part, times) => {
    const pattern = Array.from({ length: times }, () => part).join('.');
    const topic = Array.from({ length: 95 }, () => 'a').join('.');
    expect(topicMatches(pattern, topic)).toBe(true);
    expect(topicMatches(`${pattern}.z`, topic)).toBe(false);
    expect(topicMatches(pattern, `${topic}.z`)).toBe(part === '**.*' || part === '*.**');
  });

  test('agrees with the regular expression', () => {
    const segment = fc.constantFrom('a', 'b', 'order', 'x-1', '_');
    const pattern = fc
      .array(fc.oneof(segment, fc.constantFrom('*', '**')), { minLength: 1, maxLength: 6 })
      .map((parts) => parts.join('.'));
    const topic = fc.oneof(
      fc.array(segment, { minLength: 1, maxLength: 7 }).map((parts) => parts.join('.')),
      fc.string({ maxLength: 8 }),
      fc.array(fc.constantFrom('a', 'b', ''), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('.')),
    );
    let matches = 0;
    fc.assert(
      fc.property(pattern, topic, (p, t) => {
        const matched = topicMatches(p, t);
        if (matched) matches += 1;
        return matched === new RegExp(topicPatternToRegex(p)).test(t);
      }),
      { numRuns: 5000 },
    );
    expect(matches).toBeGreaterThan(100);
  });

  test('the regular expression uses nothing that depends on server settings', () => {
    const regexes = ['**', '*.a', 'a.**.b', '**.a.*'].map((pattern) => topicPatternToRegex(pattern));
    expect(regexes.join('')).toMatch(/^[^\\?]+$/);
  });
});

describe('what is refused', () => {
  test.each(['', '.', 'order.', '.order', 'a..b', 'a b', 'a/b', 'é', 'a:b', 'x'.repeat(201), 'a\n', undefined, 5])(
    '%j is no topic and no pattern',
    (text) => {
      expect(() => assertTopic(text as string)).toThrowError(expect.objectContaining({ code: 'HF_MESSAGE_TYPE' }));
      expect(() => assertTopicPattern(text as string)).toThrowError(expect.objectContaining({ code: 'HF_CONFIG' }));
    },
  );

  test.each(['order.*', '**'])('%s is a pattern and no topic', (text) => {
    assertTopicPattern(text);
    expect(() => assertTopic(text)).toThrowError(/Wildcards belong in routes/);
  });

  test.each(['order*', '***', 'a.*b'])('a wildcard that is not a whole segment, as in %s', (text) => {
    expect(() => assertTopicPattern(text)).toThrowError(expect.objectContaining({ code: 'HF_CONFIG' }));
  });

  test('topics of every allowed letter and of the greatest length pass', () => {
    expect(() => assertTopic('Order-1.item_2.ADDED')).not.toThrow();
    expect(() => assertTopic('x'.repeat(200))).not.toThrow();
  });
});

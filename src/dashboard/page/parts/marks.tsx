/**
 * How states look: a shape, a word and a colour, of which any one would do.
 */
import type { VNode } from 'preact';
import type { Tone } from '../app/attention.ts';
import type { Look, ShapeName } from '../app/story.ts';

/** On a grid of 12 by 12. Those that are drawn with lines are in LINES. */
const PATHS: Readonly<Record<ShapeName, string>> = {
  dot: 'M6 3.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5Z',
  ring: 'M6 2.2a3.8 3.8 0 1 0 0 7.6 3.8 3.8 0 0 0 0-7.6Z',
  half: 'M6 1.4a4.6 4.6 0 1 0 0 9.2 4.6 4.6 0 0 0 0-9.2Zm0 1.5a3.1 3.1 0 0 1 0 6.2Z',
  check: 'M2.2 6.4 4.9 9.1 9.8 3.2',
  cross: 'M2.8 2.8 9.2 9.2M9.2 2.8 2.8 9.2',
  square: 'M2 2h8v8H2Z',
  diamond: 'M6 1 11 6 6 11 1 6Z',
  triangle: 'M6 1.6 11 10.4H1Z',
  again: 'M9.6 4.2A4 4 0 1 0 10 6.6M9.9 1.6v2.9H7',
  back: 'M4.6 2.4 2 5l2.6 2.6M2.2 5h5a2.6 2.6 0 0 1 0 5.2H5',
  bars: 'M3 2h2.2v8H3ZM6.8 2H9v8H6.8Z',
  skip: 'M6 2a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM3.2 3.2l5.6 5.6',
  dash: 'M2.4 6h7.2',
};
const LINES: ReadonlySet<ShapeName> = new Set(['ring', 'check', 'cross', 'again', 'back', 'skip', 'dash']);

export function Shape({ name }: { readonly name: ShapeName }): VNode {
  return (
    <svg class={LINES.has(name) ? 'shape drawn' : 'shape'} viewBox="0 0 12 12" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The path alone, for drawings that are SVG themselves. */
export function ShapePath({ name }: { readonly name: ShapeName }): VNode {
  return <path class={LINES.has(name) ? 'shape drawn' : 'shape'} d={PATHS[name]} />;
}

export function Mark({ look }: { readonly look: Look }): VNode {
  return (
    <span class={`mark ${look.tone}`}>
      <Shape name={look.shape} />
      {look.word}
    </span>
  );
}

const TONE_SHAPES: Readonly<Record<Tone, ShapeName>> = {
  ok: 'check',
  busy: 'half',
  wait: 'ring',
  warn: 'triangle',
  bad: 'square',
  off: 'dash',
};

export function toneLook(tone: Tone, word: string): Look {
  return { tone, shape: TONE_SHAPES[tone], word };
}

/** Of a parked message. */
export function parkedLook(state: string): Look {
  if (state === 'dead') return { tone: 'bad', shape: 'square', word: 'dead letter' };
  if (state === 'behind') return { tone: 'wait', shape: 'bars', word: 'waits behind' };
  return { tone: 'warn', shape: 'again', word: 'to be retried' };
}

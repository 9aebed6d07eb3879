/**
 * The difference of two JSON values, line by line, with what is the same left out but for the lines around a change.
 */
import type { VNode } from 'preact';
import { diffJson, nearChanges } from '../../../runtime/json-diff.ts';
import { visible } from '../../../runtime/terminal-text.ts';

/** Lines that are shown before and after each change. */
const AROUND = 3;

export function Difference({ before, after }: { readonly before: unknown; readonly after: unknown }): VNode {
  return (
    <pre class="difference" tabIndex={0} aria-label="Difference">
      {nearChanges(diffJson(before, after), AROUND).map((line, index) =>
        line === null ? (
          <span key={index} class="left-out">
            {'  …\n'}
          </span>
        ) : (
          <span key={index} class={line.sign === '-' ? 'gone' : line.sign === '+' ? 'come' : ''}>
            {`${line.sign} ${visible(line.text)}\n`}
          </span>
        ),
      )}
    </pre>
  );
}

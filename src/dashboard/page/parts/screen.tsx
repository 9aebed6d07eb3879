/**
 * What every view begins with: its title, also that of the browser's tab, and the heading that gets the focus when one comes from
 * another view, so that a screen reader says where it is.
 */
import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface ScreenProps {
  readonly title: string;
  /** Beside the title. */
  readonly aside?: ComponentChildren;
  readonly children: ComponentChildren;
}

let first = true;

export function Screen({ title, aside, children }: ScreenProps): VNode {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = title === 'Overview' ? 'Holdfast' : `${title} · Holdfast`;
  }, [title]);
  useEffect(() => {
    if (!first) heading.current?.focus({ preventScroll: true });
    first = false;
  }, []);
  return (
    <>
      <div class="headline">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {aside}
      </div>
      {children}
    </>
  );
}

interface ValuesProps {
  readonly facts: readonly (readonly [label: string, value: ComponentChildren] | null)[];
}

/** Labels and values; null is left out. */
export function ValueList({ facts }: ValuesProps): VNode {
  return (
    <dl class="facts">
      {facts.map((each) =>
        each === null ? null : (
          <div key={each[0]}>
            <dt>{each[0]}</dt>
            <dd>{each[1]}</dd>
          </div>
        ),
      )}
    </dl>
  );
}

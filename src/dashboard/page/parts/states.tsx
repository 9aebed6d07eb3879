/**
 * What stands where there is nothing to show: still loading, nothing there, or a failure with what to do about it.
 */
import type { ComponentChildren, VNode } from 'preact';
import type { RequestFailure } from '../app/api.ts';
import type { Loaded } from '../app/load.ts';
import { Shape } from './marks.tsx';

export function FailureNote({
  failure,
  retry,
}: {
  readonly failure: RequestFailure;
  readonly retry?: () => void;
}): VNode {
  return (
    <div class="note bad" role="alert">
      <Shape name="cross" />
      <div>
        <p>
          <b>{failure.message}</b>
        </p>
        {failure.advice === null ? null : <p>{failure.advice}</p>}
        <p class="quiet">{failure.code}</p>
      </div>
      {retry === undefined ? null : (
        <button type="button" class="button" onClick={retry}>
          Ask again
        </button>
      )}
    </div>
  );
}

export function EmptyNote({ children }: { readonly children: ComponentChildren }): VNode {
  return (
    <div class="note empty">
      <Shape name="ring" />
      <div>{children}</div>
    </div>
  );
}

/** Grey lines of the height of what will come, so that nothing jumps. */
export function LoadingNote({ lines = 6 }: { readonly lines?: number }): VNode {
  return (
    <div class="loading" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, index) => (
        <div key={index} class="skeleton" />
      ))}
    </div>
  );
}

interface AnsweredProps<T> {
  readonly loaded: Loaded<T>;
  readonly lines?: number;
  readonly children: (data: T) => ComponentChildren;
}

/** What has been read; above it what has failed since. */
export function Answered<T>({ loaded, lines = 6, children }: AnsweredProps<T>): VNode {
  const { data, failure, reload } = loaded;
  return (
    <>
      {failure === undefined ? null : <FailureNote failure={failure} retry={reload} />}
      {data === undefined ? failure === undefined ? <LoadingNote lines={lines} /> : null : children(data)}
    </>
  );
}

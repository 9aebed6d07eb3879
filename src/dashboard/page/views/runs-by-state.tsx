/**
 * How many runs of each saga are in which state: a line for each saga, its parts as wide as their share.
 */
import type { VNode } from 'preact';
import { hrefTo } from '../app/router.ts';
import { runLook } from '../app/story.ts';
import { countText } from '../app/texts.ts';
import type { WireOverview } from '../app/wire.ts';
import { Shape } from '../parts/marks.tsx';
import { EmptyNote } from '../parts/states.tsx';

const ORDER = ['stuck', 'compensating', 'running', 'waiting', 'pending', 'compensated', 'completed'];

type Counts = NonNullable<WireOverview['sagas']>['counts'];

export function RunsByState({ counts: { counts, atLeast } }: { readonly counts: Counts }): VNode {
  const sagas = [...new Set(counts.map(({ saga }) => saga))];
  if (sagas.length === 0) return <EmptyNote>No run has been started yet.</EmptyNote>;
  return (
    <>
      <ul class="shares">
        {sagas.map((saga) => (
          <SagaShares key={saga} saga={saga} counts={counts.filter((each) => each.saga === saga)} />
        ))}
      </ul>
      {atLeast ? <p class="quiet">Of the newest 100,000 runs; there are more.</p> : null}
    </>
  );
}

function SagaShares({ saga, counts }: { readonly saga: string; readonly counts: Counts['counts'] }): VNode {
  const sorted = counts.toSorted((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status));
  return (
    <li>
      <a class="share-name" href={hrefTo('runs', { saga })}>
        {saga}
      </a>
      <span class="share-bar" aria-hidden="true">
        {sorted.map(({ status, runs }) => (
          <span key={status} class={`share ${runLook(status).tone} ${status}`} style={{ flexGrow: runs }} />
        ))}
      </span>
      <span class="share-counts">
        {sorted.map(({ status, runs }) => {
          const look = runLook(status);
          return (
            <a key={status} class={`mark ${look.tone}`} href={hrefTo('runs', { saga, status })}>
              <Shape name={look.shape} />
              {countText(runs)} {status}
            </a>
          );
        })}
      </span>
    </li>
  );
}

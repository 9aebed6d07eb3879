/**
 * Sagas as their code declares them, where this process knows it: each as a drawing.
 */
import type { VNode } from 'preact';
import type { DeclaredSaga } from '../../server/contract.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo } from '../app/router.ts';
import { columnsOfDeclaration } from '../app/story.ts';
import { spanText } from '../app/texts.ts';
import { CommandText } from '../parts/copy.tsx';
import { SagaDrawing } from '../parts/saga-drawing.tsx';
import { Screen } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';

export function SagasScreen(): VNode {
  const loaded = useLoaded<{ readonly known: boolean; readonly items: readonly DeclaredSaga[] }>('sagas');
  return (
    <Screen title="Sagas" aside={<a href={hrefTo('runs')}>All runs</a>}>
      <Answered loaded={loaded}>
        {({ known, items }) =>
          items.length === 0 ? (
            <EmptyNote>
              <p>
                {known
                  ? 'No saga is declared there.'
                  : 'This dashboard does not know the code of the sagas. Tell it where it is:'}
              </p>
              <CommandText command="holdfast dashboard --sagas ./sagas" />
            </EmptyNote>
          ) : (
            items.map((saga) => <Declared key={`${saga.name}@${saga.version}`} saga={saga} />)
          )
        }
      </Answered>
    </Screen>
  );
}

function Declared({ saga }: { readonly saga: DeclaredSaga }): VNode {
  const { name, version, deadlineMs, steps, signals } = saga;
  const facts = [
    deadlineMs === null ? null : `done within ${spanText(deadlineMs)}`,
    signals.length === 0 ? null : `waits for ${signals.join(', ')}`,
  ].filter((each) => each !== null);
  return (
    <section class="declared" aria-labelledby={`saga-${name}-${version}`}>
      <div class="headline">
        <h2 id={`saga-${name}-${version}`}>
          {name}
          <span class="quiet">@{version}</span>
        </h2>
        <span class="quiet">{facts.join(' · ')}</span>
        <a href={hrefTo('runs', { saga: name, version })}>Its runs</a>
      </div>
      {steps.length === 0 ? (
        <p class="quiet">It declares no steps.</p>
      ) : (
        <SagaDrawing
          columns={columnsOfDeclaration(saga)}
          label={`${name} as it is declared`}
          selected={null}
          hrefOf={null}
          turned
        />
      )}
    </section>
  );
}

/**
 * What stands at an address that says nothing of a database, where there are several: which one is meant. One thing is looked for by its id, and
 * where one database alone has it, that is where it leads.
 */
import type { ComponentChildren, VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { databaseNames } from '../app/databases.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo, navigate, place } from '../app/router.ts';
import type { WireAllFindings, WireFound } from '../app/wire.ts';
import { SilentNote } from '../parts/database-name.tsx';
import { Screen } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';

export function ChooseScreen({ title }: { readonly title: string }): VNode {
  return (
    <Screen title={title}>
      <p>Each database has its own. Of which one?</p>
      <Choices names={databaseNames.value} />
    </Screen>
  );
}

export function UnknownDatabaseScreen({ name }: { readonly name: string }): VNode {
  return (
    <Screen title="Not here">
      <EmptyNote>
        This dashboard sees no database “{name}”. <a href={hrefTo('', {}, null)}>To the overview</a>
      </EmptyNote>
    </Screen>
  );
}

/** What is found is of this kind: 'runs/ID' is a run. Of jobs nothing is known by name. */
const KINDS: Readonly<Record<string, WireFound['kind']>> = { runs: 'run', parked: 'parked' };

export function LookForScreen({ section, id }: { readonly section: string; readonly id: string }): VNode {
  const kind = KINDS[section];
  const loaded = useLoaded<WireAllFindings>(kind === undefined ? null : 'all/find', { q: id });
  const items = loaded.data?.items ?? [];
  const names = items
    .filter(({ answer }) => answer?.found.some((each) => each.kind === kind))
    .map((each) => each.database);
  const [only, ...others] = names;
  useEffect(() => {
    if (only !== undefined && others.length === 0) navigate(hrefNow(only), { replace: true });
  }, [only, others.length]);
  if (kind === undefined) return <ChooseScreen title="Which database?" />;
  return (
    <Screen title="Which database?">
      <Answered loaded={loaded}>
        {() => (
          <>
            {items.map(({ database, failure }) =>
              failure === null ? null : <SilentNote key={database} database={database} failure={failure} />,
            )}
            {names.length === 0 ? <Missing>Nothing of that id was found.</Missing> : <Choices names={names} />}
          </>
        )}
      </Answered>
    </Screen>
  );
}

function Missing({ children }: { readonly children: ComponentChildren }): VNode {
  return (
    <EmptyNote>
      {children} <a href={hrefTo('', {}, null)}>To the overview</a>
    </EmptyNote>
  );
}

function Choices({ names }: { readonly names: readonly string[] }): VNode {
  return (
    <ul class="choices">
      {names.map((name) => (
        <li key={name}>
          <a class="button row-link" href={hrefNow(name)}>
            {name}
          </a>
        </li>
      ))}
    </ul>
  );
}

/** The same view in that database. */
function hrefNow(name: string): string {
  const { path, query } = place.value;
  return hrefTo(path, Object.fromEntries(query), name);
}

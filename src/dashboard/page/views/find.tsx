/**
 * Find one thing by whatever one has in hand: an order's number, an id from a log, how an id begins. What is found stands by what it is, each
 * leading to its view.
 */
import type { ComponentChildren, VNode } from 'preact';
import { now } from '../app/clock.ts';
import { atAll } from '../app/databases.ts';
import { useLoaded } from '../app/load.ts';
import { lookedText } from '../app/looked.ts';
import { hrefTo, hrefWith, queryNow } from '../app/router.ts';
import { runLook } from '../app/story.ts';
import type { WireAllFindings, WireFindings, WireFound } from '../app/wire.ts';
import { IdText } from '../parts/copy.tsx';
import { DatabaseName, SilentNote } from '../parts/database-name.tsx';
import { Grid, type GridColumn } from '../parts/grid.tsx';
import { Mark } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { Answered, EmptyNote } from '../parts/states.tsx';

interface FoundGroup {
  readonly kind: WireFound['kind'];
  readonly title: string;
  readonly path: (id: string) => string;
}

/** In the order in which a person wants them: what needs somebody, what tells most, what is left of the rest. */
const GROUPS: readonly FoundGroup[] = [
  { kind: 'parked', title: 'Parked messages', path: (id) => `parked/${id}` },
  { kind: 'run', title: 'Runs', path: (id) => `runs/${id}` },
  { kind: 'message', title: 'Messages', path: (id) => `messages/${id}` },
  { kind: 'scheduled', title: 'Scheduled messages', path: (id) => `messages/${id}` },
  { kind: 'handled', title: 'Handled, and pruned from the log', path: (id) => `messages/${id}` },
  { kind: 'replay', title: 'Replays', path: () => 'subscriptions' },
];

/** `database`: of several that were asked together. */
type FoundRow = WireFound & { readonly database?: string };

const columnsOf = ({ kind, path }: FoundGroup, areNamed: boolean): readonly GridColumn<FoundRow>[] => [
  {
    title: 'What',
    cell: ({ id, name, database }) => (
      <a class="row-link" href={hrefTo(path(id), {}, database)}>
        <Plain text={name} />
      </a>
    ),
  },
  ...(areNamed ? [{ title: 'Database', cell: ({ database = '' }: FoundRow) => <DatabaseName name={database} /> }] : []),
  ...(kind === 'message' || kind === 'scheduled' ? [] : [{ title: 'State', cell: stateOf }]),
  {
    title: 'Key',
    kind: 'wide',
    cell: ({ key }) => (key === null ? <span class="quiet">none</span> : <Plain text={key} />),
  },
  { title: 'Found by', cell: ({ by }) => by },
  { title: kind === 'scheduled' ? 'Due' : 'When', cell: ({ at }) => (at === null ? '' : <Moment at={at} />) },
  { title: 'Id', cell: ({ id }) => <IdText id={id} /> },
];

function stateOf({ kind, state }: WireFound): VNode {
  if (state === null) return <span class="quiet">none</span>;
  return kind === 'run' ? <Mark look={runLook(state)} /> : <Plain text={state} />;
}

export function FindScreen(): VNode {
  const { q = '', cursor } = queryNow(['q', 'cursor']);
  const text = q.trim();
  return atAll.value ? <FindInAll text={text} /> : <FindInOne text={text} cursor={cursor} />;
}

/** A page further back is one of one database. */
function FindInOne({ text, cursor }: { readonly text: string; readonly cursor: string | undefined }): VNode {
  const loaded = useLoaded<WireFindings>(text === '' ? null : 'find', { q: text, cursor });
  return (
    <Sought text={text}>
      <Answered loaded={loaded}>{(findings) => <FoundThings findings={findings} />}</Answered>
    </Sought>
  );
}

function FindInAll({ text }: { readonly text: string }): VNode {
  const loaded = useLoaded<WireAllFindings>(text === '' ? null : 'all/find', { q: text });
  return (
    <Sought text={text}>
      <Answered loaded={loaded}>{(found) => <FoundInAll found={found} />}</Answered>
    </Sought>
  );
}

function Sought({ text, children }: { readonly text: string; readonly children: ComponentChildren }): VNode {
  return (
    <Screen title={text === '' ? 'Find' : `Find “${text}”`}>
      {text === '' ? (
        <EmptyNote>
          Type an id or a key into the field above: of an order, a message, a run. How an id begins will do.
        </EmptyNote>
      ) : (
        children
      )}
    </Screen>
  );
}

function FoundThings({ findings }: { readonly findings: WireFindings }): VNode {
  const { text, found, similar, advice, looked, further } = findings;
  const far = lookedText(looked, 'message', now.value);
  return (
    <>
      {found.length > 0 ? null : (
        <EmptyNote>
          <p>
            Nothing {far === null ? 'is' : 'that was looked at is'} called “<Plain text={text} />
            ”.
          </p>
          {advice === null ? null : <p>{advice}</p>}
        </EmptyNote>
      )}
      <Groups found={found} />
      {similar.length === 0 ? null : (
        <>
          <p>
            <b>Alike</b>, but not the same:
          </p>
          <Groups found={similar} />
        </>
      )}
      {further === null ? null : (
        <p class="under">
          {far === null ? 'More messages have that name. ' : `Keys and correlation ids of messages: ${lower(far)} `}
          <a href={hrefWith({ cursor: further })}>Look further back</a>
        </p>
      )}
    </>
  );
}

function FoundInAll({ found: { text, items } }: { readonly found: WireAllFindings }): VNode {
  const answers = items.flatMap(({ database, answer }) => (answer === null ? [] : [{ database, answer }]));
  const rowsOf = (list: 'found' | 'similar'): readonly FoundRow[] =>
    answers.flatMap(({ database, answer }) => answer[list].map((each) => ({ ...each, database })));
  const [found, similar] = [rowsOf('found'), rowsOf('similar')];
  const further = answers.filter(({ answer }) => answer.further !== null);
  return (
    <>
      {items.map(({ database, failure }) =>
        failure === null ? null : <SilentNote key={database} database={database} failure={failure} />,
      )}
      {found.length > 0 ? null : (
        <EmptyNote>
          Nothing that was looked at is called “<Plain text={text} />
          ”:{' '}
          {answers.length === 0
            ? 'no database answers.'
            : `not in ${answers.map(({ database }) => database).join(', ')}.`}
        </EmptyNote>
      )}
      <Groups found={found} />
      {found.length > 0 || similar.length === 0 ? null : (
        <>
          <p>
            <b>Alike</b>, but not the same:
          </p>
          <Groups found={similar} />
        </>
      )}
      {further.length === 0 ? null : (
        <p class="under">
          Look further back in{' '}
          {further.map(({ database, answer }, index) => (
            <>
              {index === 0 ? null : ', '}
              <a key={database} href={hrefTo('find', { q: text, cursor: answer.further }, database)}>
                {database}
              </a>
            </>
          ))}
        </p>
      )}
    </>
  );
}

function Groups({ found }: { readonly found: readonly FoundRow[] }): VNode {
  const areNamed = found.some(({ database }) => database !== undefined);
  return (
    <>
      {GROUPS.map((group) => {
        const rows = found.filter(({ kind }) => kind === group.kind);
        return rows.length === 0 ? null : (
          <section key={group.kind}>
            <h2>{group.title}</h2>
            <Grid
              caption={group.title}
              columns={columnsOf(group, areNamed)}
              rows={rows}
              keyOf={({ id, by, state, database = '' }) => `${database}/${id}/${by}/${state ?? ''}`}
            />
          </section>
        );
      })}
    </>
  );
}

function lower(sentence: string): string {
  return sentence.slice(0, 1).toLowerCase() + sentence.slice(1);
}

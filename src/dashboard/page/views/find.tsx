/**
 * Find one thing by whatever one has in hand: the id or key of a message or a run.
 */
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { ListPage } from '../../server/contract.ts';
import { failureFrom, read, type RequestFailure } from '../app/api.ts';
import { hrefTo, place } from '../app/router.ts';
import type { WireMessage, WireMessageDetails, WireParked, WireRun, WireRunPage } from '../app/wire.ts';
import { Grid } from '../parts/grid.tsx';
import { Mark, parkedLook } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { Plain } from '../parts/payload.tsx';
import { Screen } from '../parts/screen.tsx';
import { EmptyNote, FailureNote, LoadingNote } from '../parts/states.tsx';
import { ChildRuns } from './runs.tsx';

interface FoundThings {
  readonly runs: readonly WireRun[];
  readonly messages: readonly WireMessage[];
  readonly parked: readonly WireParked[];
}

const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;
const MOST = 20;

async function find(text: string, gone: AbortSignal): Promise<FoundThings> {
  const none = (error: unknown): null => {
    if (failureFrom(error).status === 404) return null;
    throw error;
  };
  const list = async <T,>(path: string, key: Readonly<Record<string, string>>): Promise<readonly T[]> =>
    (await read<ListPage<T>>(path, { ...key, limit: MOST }, gone)).items;
  const isId = UUID.test(text);
  const [runs, messages, parked, run, message] = await Promise.all([
    list<WireRun>('runs', { key: text }),
    list<WireMessage>('messages', { key: text }),
    list<WireParked>('parked', { key: text }),
    isId ? read<WireRunPage>(`runs/${text}`, {}, gone).catch(none) : null,
    isId ? read<WireMessageDetails>(`messages/${text}`, {}, gone).catch(none) : null,
  ]);
  return {
    runs: run === null ? runs : [run.run, ...runs],
    messages: message === null || !('topic' in message) ? messages : [message, ...messages],
    parked,
  };
}

export function FindScreen(): VNode {
  const text = (place.value.query.get('q') ?? '').trim();
  const [found, setFound] = useState<FoundThings | null>(null);
  const [failure, setFailure] = useState<RequestFailure | null>(null);
  useEffect(() => {
    setFound(null);
    setFailure(null);
    if (text === '') return;
    const gone = new AbortController();
    find(text, gone.signal).then(
      (things) => (gone.signal.aborted ? undefined : setFound(things)),
      (error: unknown) => (gone.signal.aborted ? undefined : setFailure(failureFrom(error))),
    );
    return () => gone.abort();
  }, [text]);
  return (
    <Screen title={text === '' ? 'Find' : `Find “${text}”`}>
      {text === '' ? (
        <EmptyNote>Type an id or a key into the field above: of an order, a message, a run.</EmptyNote>
      ) : failure !== null ? (
        <FailureNote failure={failure} />
      ) : found === null ? (
        <LoadingNote />
      ) : (
        <Things found={found} text={text} />
      )}
    </Screen>
  );
}

function Things({
  found: { runs, messages, parked },
  text,
}: {
  readonly found: FoundThings;
  readonly text: string;
}): VNode {
  if (runs.length + messages.length + parked.length === 0) {
    return (
      <EmptyNote>
        Nothing has “<Plain text={text} />” as its id or key. Keys are compared whole; what retention has removed is not
        found.
      </EmptyNote>
    );
  }
  return (
    <>
      {runs.length === 0 ? null : (
        <>
          <h2>Runs</h2>
          <ChildRuns runs={runs} />
        </>
      )}
      {messages.length === 0 ? null : (
        <>
          <h2>Messages</h2>
          <Grid
            caption="Messages"
            rows={messages}
            keyOf={({ id }) => id}
            columns={[
              {
                title: 'Topic',
                cell: ({ id, topic }) => (
                  <a class="row-link" href={hrefTo(`messages/${id}`)}>
                    {topic}
                  </a>
                ),
              },
              { title: 'Key', kind: 'wide', cell: ({ key }) => <Plain text={key ?? ''} /> },
              { title: 'Written', cell: ({ createdAt }) => <Moment at={createdAt} /> },
            ]}
          />
        </>
      )}
      {parked.length === 0 ? null : (
        <>
          <h2>Parked</h2>
          <Grid
            caption="Parked messages"
            rows={parked}
            keyOf={({ kind, where, id }) => `${kind}/${where}/${id}`}
            columns={[
              {
                title: 'Topic',
                cell: ({ id, topic }) => (
                  <a class="row-link" href={hrefTo(`parked/${id}`)}>
                    {topic}
                  </a>
                ),
              },
              { title: 'State', cell: ({ state }) => <Mark look={parkedLook(state)} /> },
              { title: 'At', cell: ({ where }) => where },
              { title: 'Why', kind: 'wide', cell: ({ error, reason }) => <Plain text={error ?? reason} /> },
            ]}
          />
        </>
      )}
    </>
  );
}

/**
 * One parked message, in each place where it is parked: why, what waits behind it, and what can be done.
 */
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { parkedErrorText } from '../../../message/encrypted-value.ts';
import { mayAct } from '../app/acts.ts';
import { useLoaded } from '../app/load.ts';
import { hrefTo } from '../app/router.ts';
import { countText, spanText } from '../app/texts.ts';
import type { WireParkedDetails } from '../app/wire.ts';
import { CopyButton } from '../parts/copy.tsx';
import { Mark, parkedLook } from '../parts/marks.tsx';
import { Moment } from '../parts/moment.tsx';
import { isHidden, Payload, Plain, RevealButton } from '../parts/payload.tsx';
import { Screen, ValueList } from '../parts/screen.tsx';
import { Answered } from '../parts/states.tsx';
import { askDiscard, askRetry } from './parked-acts.ts';
import { EditForm } from './parked-edit.tsx';

interface Places {
  readonly places: readonly WireParkedDetails[];
}

export function ParkedMessageScreen({ id }: { readonly id: string }): VNode {
  const loaded = useLoaded<Places>(`parked/${encodeURIComponent(id)}`, {}, { every: 5_000 });
  const [revealed, reveal] = useState<Places | null>(null);
  return (
    <Screen
      title="Parked message"
      aside={
        <span class="whole-id">
          <code>{id}</code>
          <CopyButton text={id} what="the id" />
        </span>
      }
    >
      <p>
        <a href={hrefTo(`messages/${id}`)}>The message and its way</a>
      </p>
      <Answered loaded={loaded}>
        {({ places }) => (
          <>
            <RevealButton path={`parked/${id}`} revealed={(answer) => reveal(answer as Places)} />
            {places.map((parked) => (
              <OnePlace
                key={`${parked.kind}/${parked.where}`}
                parked={parked}
                data={
                  (revealed?.places ?? places).find(({ kind, where }) => kind === parked.kind && where === parked.where)
                    ?.data
                }
                reload={loaded.reload}
                forget={() => reveal(null)}
              />
            ))}
          </>
        )}
      </Answered>
    </Screen>
  );
}

interface OnePlaceProps {
  readonly parked: WireParkedDetails;
  readonly data: unknown;
  readonly reload: () => void;
  /** What was revealed is not what is there any more. */
  readonly forget: () => void;
}

function OnePlace({ parked, data, reload, forget }: OnePlaceProps): VNode {
  const { kind, where, topic, key, state, reason, error, attempts, parkedAt, retryInMs } = parked;
  const { revised, waitingBehind, headId } = parked;
  const [editing, edit] = useState(false);
  return (
    <section class="place">
      <div class="headline">
        <h2>
          {kind === 'relay' ? 'Not published by' : 'Not handled by'} {where}
        </h2>
        {mayAct.value ? (
          <span class="acts">
            <button type="button" class="button strong" onClick={() => askRetry(parked, reload)}>
              Try again
            </button>
            {!editing && !isHidden(data) ? (
              <button type="button" class="button" onClick={() => edit(true)}>
                Edit
              </button>
            ) : null}
            <button type="button" class="button grave" onClick={() => askDiscard(parked, reload)}>
              Discard
            </button>
          </span>
        ) : (
          <span class="quiet">An operator can retry, edit or discard it.</span>
        )}
      </div>
      <ValueList
        facts={[
          ['State', <Mark key="state" look={parkedLook(state)} />],
          ['Topic', topic],
          key === null
            ? null
            : [
                'Key',
                <a key="key" href={hrefTo('parked', { kind, where, key })}>
                  <Plain text={key} />
                </a>,
              ],
          ['Why', <Plain key="why" text={reason} />],
          ['Tries', countText(attempts)],
          ['Parked', <Moment key="at" at={parkedAt} />],
          ['Again', retryInMs === null ? 'not by itself' : retryInMs === 0 ? 'now' : `in ${spanText(retryInMs)}`],
          revised
            ? [
                'Edited',
                kind === 'relay' ? 'this payload goes out; the log keeps the other' : 'this payload is handled',
              ]
            : null,
          ['Behind it', waitingBehind === 0 ? 'nothing waits' : `${countText(waitingBehind)} of its key wait`],
          headId === null
            ? null
            : [
                'Waits for',
                <a key="head" href={hrefTo(`parked/${headId}`)}>
                  {headId}
                </a>,
              ],
        ]}
      />
      {error === null ? null : (
        <pre class="fault-text" tabIndex={0} aria-label="Error">
          <Plain text={parkedErrorText(error)} />
        </pre>
      )}
      {editing ? (
        <EditForm
          parked={parked}
          data={data}
          leave={() => edit(false)}
          stays={() => {
            edit(false);
            forget();
            reload();
          }}
        />
      ) : (
        <Payload title="Payload" value={data} />
      )}
    </section>
  );
}
